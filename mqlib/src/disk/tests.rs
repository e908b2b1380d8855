use super::*;

#[test]
fn an_aligned_buffer_stays_aligned_and_keeps_its_bytes_as_it_grows() {
    let mut buffer = AlignedBuf::new();
    for i in 0..200_000u32 {
        buffer.extend(&i.to_le_bytes());
    }
    assert_eq!(buffer.as_slice().as_ptr().align_offset(BLOCK), 0);
    assert_eq!(buffer.as_slice()[4 * 70_000..][..4], 70_000u32.to_le_bytes());
    buffer.clear();
    buffer.resize(5);
    assert_eq!(buffer.as_slice(), [0; 5]);
}

#[test]
fn a_segment_is_created_full_of_zeros_and_keeps_what_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FsDisk::open(dir.path()).unwrap();
    let segment = disk.open_segment("a", 4 * BLOCK as u64).unwrap();
    let mut block = AlignedBuf::new();
    block.resize(BLOCK);
    block.as_mut_slice().fill(7);
    segment.write(BLOCK as u64, block.as_slice()).unwrap();
    let content = disk.open_segment("a", 4 * BLOCK as u64).unwrap().read().unwrap();
    assert_eq!(content.len(), 4 * BLOCK);
    assert!(content[..BLOCK].iter().all(|&byte| byte == 0));
    assert!(content[BLOCK..2 * BLOCK].iter().all(|&byte| byte == 7));
}

#[test]
fn a_symbolic_link_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FsDisk::open(dir.path()).unwrap();
    disk.create("secret", 0, &[b"x"]).unwrap();
    std::os::unix::fs::symlink("secret", dir.path().join("planted")).unwrap();
    assert!(disk.read("planted").is_err());
    assert!(disk.patch("planted", 0, b"y").is_err());
    std::os::unix::fs::symlink(".", dir.path().join("way")).unwrap();
    assert!(disk.read("way/secret").is_err());
    assert!(disk.create("way/new", 0, &[]).is_err());
    assert!(disk.link("secret", "way/new").is_err());
    assert!(disk.unlink("way/secret").is_err());
}
