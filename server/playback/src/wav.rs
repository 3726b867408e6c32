//! The head of a WAV file of 16-bit PCM, two channels.

const CHANNELS: u64 = 2;
/// Bytes of a sample of both channels.
pub(crate) const FRAME: u64 = CHANNELS * 2;
/// Bytes of the head.
pub(crate) const HEADER: u64 = 44;

/// RIFF, `fmt ` (PCM) and the head of `data`. A file over 4 GiB says so by the largest size, as live WAVs do.
pub(crate) fn header(sample_rate: u64, data: u64) -> [u8; HEADER as usize] {
    let short = |value: u64| u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes();
    let mut out = [0u8; HEADER as usize];
    out[0..4].copy_from_slice(b"RIFF");
    out[4..8].copy_from_slice(&short(data + HEADER - 8));
    out[8..16].copy_from_slice(b"WAVEfmt ");
    out[16..20].copy_from_slice(&16u32.to_le_bytes());
    out[20..22].copy_from_slice(&1u16.to_le_bytes());
    out[22..24].copy_from_slice(&(CHANNELS as u16).to_le_bytes());
    out[24..28].copy_from_slice(&(sample_rate as u32).to_le_bytes());
    out[28..32].copy_from_slice(&((sample_rate * FRAME) as u32).to_le_bytes());
    out[32..34].copy_from_slice(&(FRAME as u16).to_le_bytes());
    out[34..36].copy_from_slice(&16u16.to_le_bytes());
    out[36..40].copy_from_slice(b"data");
    out[40..44].copy_from_slice(&short(data));
    out
}
