//! Network abstraction layer units: from start codes (H.264 Annex B) to lengths (ISO/IEC 14496-15), parameter sets apart.

/// Type of a sequence parameter set (H.264 table 7-1).
const SPS: u8 = 7;
/// Type of a picture parameter set.
const PPS: u8 = 8;

/// What a decoder must know before the first picture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParameterSets {
    /// Sequence parameter set, without start code.
    pub sps: Vec<u8>,
    /// Picture parameter set, without start code.
    pub pps: Vec<u8>,
}

/// Appends one unit: a parameter set to `sets`, anything else to `sample` behind its length.
pub fn sort_unit(unit: &[u8], sets: &mut ParameterSets, sample: &mut Vec<u8>) {
    let unit = without_start_code(unit);
    match unit.first().map(|header| header & 0x1F) {
        None => {}
        Some(SPS) => sets.sps = unit.to_vec(),
        Some(PPS) => sets.pps = unit.to_vec(),
        Some(_) => {
            sample.extend((unit.len() as u32).to_be_bytes());
            sample.extend_from_slice(unit);
        }
    }
}

fn without_start_code(unit: &[u8]) -> &[u8] {
    unit.strip_prefix(&[0, 0, 0, 1]).or_else(|| unit.strip_prefix(&[0, 0, 1])).unwrap_or(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_sets_are_kept_apart_from_the_sample() {
        let (mut sets, mut sample) = (ParameterSets::default(), Vec::new());
        sort_unit(&[0, 0, 0, 1, 0x67, 1, 2], &mut sets, &mut sample);
        sort_unit(&[0, 0, 1, 0x68, 3], &mut sets, &mut sample);
        sort_unit(&[0, 0, 0, 1, 0x65, 9, 9], &mut sets, &mut sample);
        assert_eq!(sets, ParameterSets { sps: vec![0x67, 1, 2], pps: vec![0x68, 3] });
        assert_eq!(sample, [0, 0, 0, 3, 0x65, 9, 9]);
    }
}
