//! The draft-04 codec by itself.
#![allow(clippy::unwrap_used)]

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use tokio_util::codec::{Decoder, Encoder};
use wsstream::{Error, Limits, RawCodec, RawFrame};

fn limits(max_message: usize) -> Limits {
    Limits { max_message, ..Limits::default() }
}

/// All frames of `chunks`, and the error that ended them.
fn decode(chunks: &[&[u8]], max_message: usize) -> (Vec<RawFrame>, Option<String>) {
    let (mut codec, mut buffer) = (RawCodec::new(&limits(max_message)), BytesMut::new());
    let mut frames = Vec::new();
    for chunk in chunks {
        buffer.extend_from_slice(chunk);
        loop {
            match codec.decode(&mut buffer) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error.to_string())),
            }
        }
    }
    (frames, None)
}

fn message(bytes: &'static [u8]) -> RawFrame {
    RawFrame::Message(Bytes::from_static(bytes))
}

fn encoded(frame: RawFrame) -> BytesMut {
    let mut buffer = BytesMut::new();
    RawCodec::new(&Limits::default()).encode(frame, &mut buffer).unwrap();
    buffer
}

#[test]
fn every_opcode_but_close_is_a_message_whatever_the_flags() {
    for first in 0..=255u8 {
        let (frames, error) = decode(&[&[first, 2, b'h', b'i']], 100);
        let close = first & 0x0f == 1;
        assert_eq!(frames, [if close { RawFrame::Close } else { message(b"hi") }], "{first:#x}");
        assert_eq!(error, None);
    }
}

#[test]
fn the_mask_bit_is_ignored() {
    assert_eq!(decode(&[&[0x85, 0x82, 1, 2]], 100).0, [message(&[1, 2])]);
}

#[test]
fn the_high_word_of_a_long_length_is_ignored() {
    let twice = [0x85, 0x7f, 0, 0, 0, 3, 0, 0, 0, 3, 7, 8, 9];
    let wild = [0x85, 0x7f, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 3, 7, 8, 9];
    assert_eq!(decode(&[&twice, &wild], 100).0, [message(&[7, 8, 9]), message(&[7, 8, 9])]);
}

#[test]
fn lengths_need_not_be_minimal() {
    assert_eq!(decode(&[&[0x85, 126, 0, 1, 7]], 100).0, [message(&[7])]);
}

#[test]
fn an_empty_data_frame_is_an_empty_message() {
    assert_eq!(decode(&[&[0x85, 0, 0x85, 1, 7]], 100).0, [message(b""), message(&[7])]);
}

#[test]
fn nothing_after_a_close_frame_is_read() {
    let bytes = [0x81, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x85, 1, 7];
    assert_eq!(decode(&[&bytes, &[0x85, 1, 7]], 100), (vec![RawFrame::Close], None));
}

#[test]
fn a_message_beyond_the_limit_is_refused_from_its_length() {
    let mut codec = RawCodec::new(&limits(1000));
    let mut buffer = BytesMut::from(&[0x85, 126, 0x03, 0xe9][..]);
    let capacity = buffer.capacity();
    let error = codec.decode(&mut buffer).unwrap_err();
    assert!(matches!(error, Error::MessageTooLarge { size: 1001, limit: 1000 }), "{error}");
    assert_eq!(error.quit_text(), Some("message too large"));
    assert_eq!(buffer.capacity(), capacity);
}

#[test]
fn a_message_at_the_limit_is_accepted() {
    let bytes = encoded(RawFrame::Message(vec![7; 1000].into()));
    assert_eq!(decode(&[&bytes], 1000).0.len(), 1);
}

#[test]
fn an_announced_message_that_never_comes_costs_little_memory() {
    let mut codec = RawCodec::new(&Limits::default());
    let mut buffer = BytesMut::from(&[0x85, 127, 0, 0, 0, 0, 0x01, 0, 0, 0][..]);
    assert!(codec.decode(&mut buffer).unwrap().is_none());
    assert!(buffer.capacity() <= 64 << 10, "{}", buffer.capacity());
    for _ in 0..100 {
        buffer.extend_from_slice(&[0; 10_000]);
        assert!(codec.decode(&mut buffer).unwrap().is_none());
    }
    assert!(buffer.capacity() <= 2 * buffer.len(), "{}", buffer.capacity());
}

#[test]
fn a_large_message_leaves_no_large_buffer_behind() {
    let mut codec = RawCodec::new(&Limits::default());
    let mut buffer = encoded(RawFrame::Message(vec![7; 1 << 20].into()));
    buffer.extend_from_slice(&[0x85, 2]);
    assert!(codec.decode(&mut buffer).unwrap().is_some());
    assert!(codec.decode(&mut buffer).unwrap().is_none());
    assert_eq!(&buffer[..], [0x85, 2]);
    assert!(buffer.capacity() <= 16 << 10, "{}", buffer.capacity());
}

#[test]
fn an_end_inside_a_frame_is_an_end() {
    let mut codec = RawCodec::new(&Limits::default());
    let mut buffer = BytesMut::from(&[0x85, 9, 1, 2][..]);
    assert!(codec.decode_eof(&mut buffer).unwrap().is_none());
    assert!(codec.decode_eof(&mut buffer).unwrap().is_none());
}

#[test]
fn the_encoder_uses_the_shortest_length_and_a_zero_high_word() {
    let header = |len: usize| {
        let bytes = encoded(RawFrame::Message(vec![7; len].into()));
        bytes[..bytes.len() - len].to_vec()
    };
    assert_eq!(header(0), [0x85, 0]);
    assert_eq!(header(125), [0x85, 125]);
    assert_eq!(header(126), [0x85, 126, 0, 126]);
    assert_eq!(header(65_535), [0x85, 126, 0xff, 0xff]);
    assert_eq!(header(65_536), [0x85, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    assert_eq!(&encoded(RawFrame::Close)[..], [0x81, 0]);
}

/// Cuts `bytes` at each of `cuts`.
fn cut<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

proptest! {
    #[test]
    fn any_bytes_mean_the_same_whatever_the_chunks(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0u8..4, Just(126), Just(127)], 0..400),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        prop_assert_eq!(decode(&cut(&bytes, &cuts), 300), decode(&[&bytes], 300));
    }

    #[test]
    fn what_is_encoded_is_decoded(
        sizes in prop::collection::vec(prop_oneof![0usize..300, 3_000usize..6_000, 60_000usize..70_000], 0..6),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let frames: Vec<_> = sizes.iter().enumerate()
            .map(|(i, size)| RawFrame::Message(vec![i as u8; *size].into()))
            .chain([RawFrame::Close])
            .collect();
        let mut bytes = BytesMut::new();
        for frame in &frames {
            RawCodec::new(&Limits::default()).encode(frame.clone(), &mut bytes).unwrap();
        }
        prop_assert_eq!(decode(&cut(&bytes, &cuts), 1 << 20), (frames, None));
    }
}
