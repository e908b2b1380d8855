//! When a certificate expires: the one field of it that is of interest here, so that no parser of
//! X.509 is needed.

use std::time::UNIX_EPOCH;

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
/// The version stands in an explicit tag, unless it is the first.
const VERSION: u8 = 0xa0;

/// The end of the validity (RFC 5280 §4.1.2.5) of a certificate in DER, in seconds since 1970. `None`
/// if it is no certificate, or of before 1970.
pub(super) fn of(certificate: &[u8]) -> Option<i64> {
    let (certificate, _) = expect(SEQUENCE, certificate)?;
    let (signed, _) = expect(SEQUENCE, certificate)?;
    let after_version = expect(VERSION, signed).map_or(signed, |(_, rest)| rest);
    let (_, after_serial) = expect(INTEGER, after_version)?;
    let (_, after_algorithm) = expect(SEQUENCE, after_serial)?;
    let (_, after_issuer) = expect(SEQUENCE, after_algorithm)?;
    let (validity, _) = expect(SEQUENCE, after_issuer)?;
    let (_, _, not_after) = element(validity)?;
    let (tag, time, _) = element(not_after)?;
    let time = std::str::from_utf8(time).ok()?.strip_suffix('Z')?;
    let time = match (tag, time.len()) {
        // Of the two digits of a year, those below 50 are of this century.
        (UTC_TIME, 12) if *time < *"5" => format!("20{time}"),
        (UTC_TIME, 12) => format!("19{time}"),
        (GENERALIZED_TIME, 14) => time.to_owned(),
        _ => return None,
    };
    let part = |from: usize, to: usize| time.get(from..to);
    let (date, hour) = (part(0, 4).zip(part(4, 6)).zip(part(6, 8))?, part(8, 10)?);
    let ((year, month), day) = date;
    let (minute, second) = (part(10, 12)?, part(12, 14)?);
    let text = format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z");
    let time = humantime::parse_rfc3339(&text).ok()?;
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()
}

/// The content of an element that has this tag, and what follows it.
fn expect(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(bytes)?;
    (found == tag).then_some((content, rest))
}

/// The first element of DER: its tag, its content, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, bytes) = bytes.split_first()?;
    let (&first, bytes) = bytes.split_first()?;
    let (len, bytes) = match first {
        short @ 0..0x80 => (usize::from(short), bytes),
        long => {
            let (digits, bytes) = bytes.split_at_checked(usize::from(long & 0x7f))?;
            let len = digits
                .iter()
                .try_fold(0usize, |len, digit| Some(len.checked_mul(256)? + usize::from(*digit)));
            (len?, bytes)
        }
    };
    let (content, rest) = bytes.split_at_checked(len)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    fn made(year: i32) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 2, 3);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn both_forms_of_a_date_are_read() {
        assert_eq!(of(&made(2031)), Some(1_927_843_200));
        // From 2050 on it is written with four digits.
        assert_eq!(of(&made(2061)), Some(2_874_614_400));
    }

    #[test]
    fn what_is_cut_short_or_no_certificate_has_no_date() {
        let whole = made(2031);
        assert_eq!(of(b"no certificate"), None);
        for len in 0..whole.len() {
            assert_eq!(of(&whole[..len]), None, "{len}");
        }
    }
}
