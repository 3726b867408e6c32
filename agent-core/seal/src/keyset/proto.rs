//! Tink's `AesGcmHkdfStreamingKey` in protobuf.

use super::KEY_LEN;
use crate::{SEGMENT_LEN, SealError};
use zeroize::Zeroizing;

/// `HashType.SHA256` of Tink.
const HASH_SHA256: u8 = 3;
/// Segment size, derived key size and hash of AES256_GCM_HKDF_4KB.
const PARAMS: (u64, u64, u64) = (SEGMENT_LEN as u64, KEY_LEN as u64, HASH_SHA256 as u64);

/// `AesGcmHkdfStreamingKey { version 0, params { 4096, 32, SHA256 }, key_value }` in protobuf.
pub fn encode(secret: &[u8; KEY_LEN]) -> Vec<u8> {
    let segment = SEGMENT_LEN as u32;
    let mut proto = Vec::with_capacity(16 + KEY_LEN);
    proto.extend([0x12, 7, 0x08, (segment & 0x7f | 0x80) as u8, (segment >> 7) as u8]);
    proto.extend([0x10, KEY_LEN as u8, 0x18, HASH_SHA256, 0x1a, KEY_LEN as u8]);
    proto.extend(secret);
    proto
}

pub fn decode(proto: &[u8]) -> Result<[u8; KEY_LEN], SealError> {
    let mut secret = Zeroizing::new([0; KEY_LEN]);
    let (mut has_secret, mut params) = (false, None);
    for field in Fields(proto) {
        match field? {
            Field { number: 1, value: Value::Number(0) } => {}
            Field { number: 1, .. } => return Err(SealError::BadKeyset("unknown version of the key")),
            Field { number: 2, value: Value::Bytes(bytes) } => params = Some(decode_params(bytes)?),
            Field { number: 3, value: Value::Bytes(bytes) } => {
                secret.copy_from_slice(
                    <&[u8; KEY_LEN]>::try_from(bytes)
                        .map_err(|_| SealError::BadKeyset("not 32 bytes of key"))?,
                );
                has_secret = true;
            }
            Field { number: _, .. } => {}
        }
    }
    match params {
        Some(PARAMS) if has_secret => Ok(*secret),
        Some(PARAMS) | None => Err(SealError::BadKeyset("incomplete")),
        Some(_) => Err(SealError::BadKeyset("not AES256_GCM_HKDF_4KB")),
    }
}

/// Segment size, derived key size, hash type.
fn decode_params(proto: &[u8]) -> Result<(u64, u64, u64), SealError> {
    let mut params = (0, 0, 0);
    for field in Fields(proto) {
        match field? {
            Field { number: 1, value: Value::Number(n) } => params.0 = n,
            Field { number: 2, value: Value::Number(n) } => params.1 = n,
            Field { number: 3, value: Value::Number(n) } => params.2 = n,
            Field { number: _, .. } => {}
        }
    }
    Ok(params)
}

struct Field<'a> {
    number: u64,
    value: Value<'a>,
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a protobuf message: varints and length-delimited ones, which is all a Tink key has.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..63).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn field(&mut self) -> Option<Field<'a>> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            2 => {
                let len = usize::try_from(self.varint()?).ok()?;
                let (bytes, rest) = self.0.split_at_checked(len)?;
                self.0 = rest;
                Value::Bytes(bytes)
            }
            _ => return None,
        };
        Some(Field { number: tag >> 3, value })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, SealError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or(SealError::BadKeyset("not the protobuf of a key")))
    }
}
