//! What a member of the crowd posts: a body that says which post it is, and can be checked to the
//! byte.

use mqlib::testing::history::{NodeRef, PostRef};

/// The body of a post, of about `size` bytes.
pub(crate) fn write(post: PostRef, size: usize) -> Vec<u8> {
    let mut body =
        format!("{}.{}.{}.{size}:", post.from.user, post.from.node, post.seq).into_bytes();
    body.extend((0..size as u64).map(|at| (at.wrapping_mul(31) ^ (at >> 8) ^ post.seq) as u8));
    body
}

/// Which post a body is of; none if it is not what was posted.
pub(crate) fn read(body: &[u8]) -> Option<PostRef> {
    let end = body.iter().position(|&byte| byte == b':')?;
    let mut fields = std::str::from_utf8(&body[..end]).ok()?.split('.');
    let (user, node) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let (seq, size) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let post = PostRef { from: NodeRef { user, node }, seq };
    (body.len() - end - 1 == size && write(post, size) == body).then_some(post)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_change_shows() {
        let post = PostRef { from: NodeRef { user: 3, node: 0 }, seq: 300 };
        let body = write(post, 600);
        assert_eq!(read(&body), Some(post));
        assert_eq!(read(&body[..body.len() - 1]), None);
        for at in 0..body.len() {
            let mut damaged = body.clone();
            damaged[at] ^= 1;
            assert_ne!(read(&damaged), Some(post), "byte {at}");
        }
    }
}
