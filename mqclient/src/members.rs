//! Whom an edit of a list is about.

/// The members of an edit of a list: one name, or several in a slice or array.
///
/// Several are edited all or none. Only version 2 can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Members(pub(crate) Vec<String>);

impl From<&str> for Members {
    fn from(name: &str) -> Self {
        Self(vec![name.to_owned()])
    }
}

impl From<&String> for Members {
    fn from(name: &String) -> Self {
        Self(vec![name.clone()])
    }
}

impl<T: AsRef<str>> From<&[T]> for Members {
    fn from(names: &[T]) -> Self {
        Self(names.iter().map(|name| name.as_ref().to_owned()).collect())
    }
}

impl<T: AsRef<str>, const N: usize> From<&[T; N]> for Members {
    fn from(names: &[T; N]) -> Self {
        names.as_slice().into()
    }
}
