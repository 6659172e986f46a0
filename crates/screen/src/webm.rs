//! WebM: one piece of video, complete in itself.
//!
//! Header, one track, one cluster, and a tag with a black picture of the same size, which the box
//! shows where nothing is stored. Lengths are known, nothing is left open. Writing only.

use crate::vpx::Coded;

/// What a piece is made of.
pub struct Piece<'a> {
    pub codec: &'a str,
    pub width: usize,
    pub height: usize,
    pub pictures: &'a [Coded],
    pub black: &'a [u8],
}

fn put(out: &mut Vec<u8>, id: &[u8], body: &[u8]) {
    out.extend_from_slice(id);
    let size = body.len() as u64 | 1 << 56;
    out.extend_from_slice(&size.to_be_bytes());
    out.extend_from_slice(body);
}

fn number(out: &mut Vec<u8>, id: &[u8], value: usize) {
    put(out, id, &(value as u64).to_be_bytes());
}

impl Piece<'_> {
    /// The file.
    #[must_use]
    pub fn file(&self) -> Vec<u8> {
        let mut head = Vec::new();
        number(&mut head, &[0x42, 0x86], 1);
        number(&mut head, &[0x42, 0xf7], 1);
        number(&mut head, &[0x42, 0xf2], 4);
        number(&mut head, &[0x42, 0xf3], 8);
        put(&mut head, &[0x42, 0x82], b"webm");
        number(&mut head, &[0x42, 0x87], 4);
        number(&mut head, &[0x42, 0x85], 2);
        let mut segment = Vec::new();
        put(&mut segment, &[0x15, 0x49, 0xa9, 0x66], &Piece::info());
        let mut tracks = Vec::new();
        put(&mut tracks, &[0xae], &self.track());
        put(&mut segment, &[0x16, 0x54, 0xae, 0x6b], &tracks);
        let mut tag = Vec::new();
        put(&mut tag, &[0x63, 0xc0], &[]);
        put(&mut tag, &[0x67, 0xc8], &self.black_tag());
        let mut tags = Vec::new();
        put(&mut tags, &[0x73, 0x73], &tag);
        put(&mut segment, &[0x12, 0x54, 0xc3, 0x67], &tags);
        put(&mut segment, &[0x1f, 0x43, 0xb6, 0x75], &self.cluster());
        let mut file = Vec::new();
        put(&mut file, &[0x1a, 0x45, 0xdf, 0xa3], &head);
        put(&mut file, &[0x18, 0x53, 0x80, 0x67], &segment);
        file
    }

    fn info() -> Vec<u8> {
        let mut info = Vec::new();
        number(&mut info, &[0x2a, 0xd7, 0xb1], 1_000_000);
        put(&mut info, &[0x4d, 0x80], b"hushbox");
        put(&mut info, &[0x57, 0x41], b"hushbox-screen");
        info
    }

    fn track(&self) -> Vec<u8> {
        let mut track = Vec::new();
        number(&mut track, &[0xd7], 1);
        number(&mut track, &[0x73, 0xc5], 1);
        number(&mut track, &[0x83], 1);
        put(&mut track, &[0x86], self.codec.as_bytes());
        let mut video = Vec::new();
        number(&mut video, &[0xb0], self.width);
        number(&mut video, &[0xba], self.height);
        put(&mut track, &[0xe0], &video);
        track
    }

    fn black_tag(&self) -> Vec<u8> {
        let mut tag = Vec::new();
        put(&mut tag, &[0x45, 0xa3], b"HUSHBOX_BLACK");
        put(&mut tag, &[0x44, 0x85], self.black);
        tag
    }

    fn cluster(&self) -> Vec<u8> {
        let mut cluster = Vec::new();
        number(&mut cluster, &[0xe7], 0);
        for picture in self.pictures {
            let ms = i16::try_from(picture.ms).unwrap_or(i16::MAX);
            let mut block = vec![0x81];
            block.extend_from_slice(&ms.to_be_bytes());
            block.push(u8::from(picture.key) << 7);
            block.extend_from_slice(&picture.data);
            put(&mut cluster, &[0xa3], &block);
        }
        cluster
    }
}
