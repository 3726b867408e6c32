//! ITU-T G.711: µ-law and A-law to 16-bit linear.

/// Linear value of each µ-law octet (G.711 table 2a/2b; expansion by 0x84).
pub const MU_LAW: [i16; 256] = mu_law_table();
/// Linear value of each A-law octet (G.711 table 1a/1b).
pub const A_LAW: [i16; 256] = a_law_table();

const fn mu_law(octet: u8) -> i16 {
    let inverted = !octet;
    let exponent = (inverted >> 4) & 7;
    let mantissa = (inverted & 0x0f) as i16;
    let magnitude = (((mantissa << 3) + 0x84) << exponent) - 0x84;
    if inverted & 0x80 != 0 { -magnitude } else { magnitude }
}

const fn a_law(octet: u8) -> i16 {
    let toggled = octet ^ 0x55;
    let exponent = (toggled >> 4) & 7;
    let mantissa = ((toggled & 0x0f) as i16) << 4;
    let magnitude = match exponent {
        0 => mantissa + 8,
        _ => (mantissa + 0x108) << (exponent - 1),
    };
    if toggled & 0x80 != 0 { magnitude } else { -magnitude }
}

const fn mu_law_table() -> [i16; 256] {
    let mut out = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        out[octet] = mu_law(octet as u8);
        octet += 1;
    }
    out
}

const fn a_law_table() -> [i16; 256] {
    let mut out = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        out[octet] = a_law(octet as u8);
        octet += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_hold_the_extremes_and_silence_of_g711() {
        assert_eq!((MU_LAW[0x00], MU_LAW[0x80], MU_LAW[0xff], MU_LAW[0x7f]), (-32124, 32124, 0, 0));
        assert_eq!((A_LAW[0xd5], A_LAW[0x55], A_LAW[0xaa], A_LAW[0x2a]), (8, -8, 32256, -32256));
    }
}
