//! A small writer of live Matroska; the real one is the media server's.

fn element(id: &[u8], body: &[u8]) -> Vec<u8> {
    let mut out = id.to_vec();
    out.extend((body.len() as u64 | (1 << 56)).to_be_bytes());
    out.extend(body);
    out
}

fn track(number: u8) -> Vec<u8> {
    // WAVEFORMATEX of G.711 µ-law.
    let mut format = vec![7, 0, 1, 0];
    format.resize(18, 0);
    element(&[0xae], &[element(&[0xd7], &[number]), element(&[0x63, 0xa2], &format)].concat())
}

/// A voice recording of whole seconds: a cluster each, 20 ms blocks on two tracks.
pub fn voice(seconds: u32) -> Vec<u8> {
    let mut out = element(&[0x1a, 0x45, 0xdf, 0xa3], &[]);
    out.extend([0x18, 0x53, 0x80, 0x67, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    out.extend(element(&[0x15, 0x49, 0xa9, 0x66], &element(&[0x2a, 0xd7, 0xb1], &[0x0f, 0x42, 0x40])));
    out.extend(element(&[0x16, 0x54, 0xae, 0x6b], &[track(1), track(2)].concat()));
    for second in 0..seconds {
        let mut body = element(&[0xe7], &(second * 1000).to_be_bytes());
        for block in 0..50_i16 {
            for number in [1_u8, 2] {
                let mut bytes = vec![0x80 | number];
                bytes.extend((block * 20).to_be_bytes());
                bytes.push(0x80);
                bytes.extend([(second as u8) ^ number; 160]);
                body.extend(element(&[0xa3], &bytes));
            }
        }
        out.extend(element(&[0x1f, 0x43, 0xb6, 0x75], &body));
    }
    out
}
