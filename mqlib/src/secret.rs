//! Secrets that the server makes: a node's, in place of a name that its client chose, the token of an
//! invitation, and the operator's.
//!
//! Each is a prefix that says what it is, and 128 random bits in hex. So it fits a URL and a command
//! line, is found by whoever looks for leaked ones, and needs no slow hash: nobody tries 2¹²⁸ of
//! them. The form alone decides how a name is hashed, before anything is looked up; therefore a
//! client may not choose a name of that form.

use crate::request::NodeName;

/// How many random bytes a secret is made of.
pub const RANDOM: usize = 16;

/// What a secret is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It is a node's name.
    Node,
    /// It lets one user register.
    Invitation,
    /// It lets the operator in to the admin page.
    Operator,
}

impl Purpose {
    fn prefix(self) -> &'static str {
        match self {
            Self::Node => "mqs_",
            Self::Invitation => "mqi_",
            Self::Operator => "mqa_",
        }
    }

    /// The secret of these random bytes.
    pub fn secret(self, random: [u8; RANDOM]) -> NodeName {
        let mut text = String::with_capacity(self.prefix().len() + 2 * RANDOM);
        text.push_str(self.prefix());
        for byte in random {
            for digit in [byte >> 4, byte & 15] {
                text.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
            }
        }
        NodeName::new(text)
    }

    /// Has the text the form of such a secret?
    pub fn is_form_of(self, text: &str) -> bool {
        let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        text.strip_prefix(self.prefix())
            .is_some_and(|digits| digits.len() == 2 * RANDOM && digits.bytes().all(digit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_known_by_its_form_and_fits_a_name() {
        let secret = Purpose::Node.secret([0xa5; RANDOM]);
        assert_eq!(secret.reveal(), format!("mqs_{}", "a5".repeat(16)));
        assert!(crate::name::is_valid(secret.reveal()));
        assert!(Purpose::Node.is_form_of(secret.reveal()));
        assert!(!Purpose::Invitation.is_form_of(secret.reveal()));
        assert_eq!(format!("{secret:?}"), "NodeName(…)");
        for name in ["mqs_", "mqs_a5", "alice-laptop", &format!("mqs_{}", "A5".repeat(16))] {
            assert!(!Purpose::Node.is_form_of(name), "{name}");
        }
    }
}
