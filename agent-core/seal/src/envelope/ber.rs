//! BER to DER, as far as streaming CMS writers need it: indefinite lengths and strings in pieces.

use super::asn1::ID_DATA;
use crate::SealError;

const CONSTRUCTED: u8 = 0x20;
const SEQUENCE: u8 = 0x30;
const OCTET_STRING: u8 = 0x04;
const OCTET_STRING_IN_PIECES: u8 = 0x24;
const CONTENT_IN_PIECES: u8 = 0xa0;
const CONTENT: u8 = 0x80;
/// Deeper than any CMS object; bounds the recursion.
const DEEPEST: usize = 24;

/// The same value with definite lengths and whole strings. Refuses anything after it.
pub fn to_der(ber: &[u8]) -> Result<Vec<u8>, SealError> {
    let mut reader = Reader(ber);
    let node = reader.node(DEEPEST)?;
    if !reader.0.is_empty() {
        return Err(SealError::MalformedEnvelope("bytes follow it"));
    }
    let mut der = Vec::with_capacity(ber.len());
    node.write(&mut der);
    Ok(der)
}

enum Node<'a> {
    Primitive {
        tag: u8,
        value: &'a [u8],
    },
    /// An octet string that came in pieces.
    Joined {
        tag: u8,
        value: Vec<u8>,
    },
    Constructed {
        tag: u8,
        children: Vec<Node<'a>>,
    },
}

struct Reader<'a>(&'a [u8]);

const BAD: SealError = SealError::MalformedEnvelope("not BER");

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Result<u8, SealError> {
        let (&byte, rest) = self.0.split_first().ok_or(BAD)?;
        self.0 = rest;
        Ok(byte)
    }

    /// `None`: indefinite.
    fn length(&mut self) -> Result<Option<usize>, SealError> {
        match self.byte()? {
            short @ 0..=0x7f => Ok(Some(usize::from(short))),
            0x80 => Ok(None),
            long @ 0x81..=0x84 => {
                (0..long & 0x7f).try_fold(0usize, |len, _| Ok(len << 8 | usize::from(self.byte()?))).map(Some)
            }
            _ => Err(BAD),
        }
    }

    fn node(&mut self, depth: usize) -> Result<Node<'a>, SealError> {
        let depth = depth.checked_sub(1).ok_or(BAD)?;
        let tag = self.byte()?;
        if tag & 0x1f == 0x1f {
            return Err(BAD); // No CMS type has a tag above 30.
        }
        let length = self.length()?;
        if tag & CONSTRUCTED == 0 {
            let (value, rest) = self.0.split_at_checked(length.ok_or(BAD)?).ok_or(BAD)?;
            self.0 = rest;
            return Ok(Node::Primitive { tag, value });
        }
        let mut children = Vec::new();
        match length {
            Some(length) => {
                let (value, rest) = self.0.split_at_checked(length).ok_or(BAD)?;
                self.0 = rest;
                let mut inner = Reader(value);
                while !inner.0.is_empty() {
                    children.push(inner.node(depth)?);
                }
            }
            None => {
                while !self.0.starts_with(&[0, 0]) {
                    children.push(self.node(depth)?);
                }
                self.0 = &self.0[2..];
            }
        }
        Node::constructed(tag, children)
    }
}

impl<'a> Node<'a> {
    fn constructed(tag: u8, mut children: Vec<Node<'a>>) -> Result<Self, SealError> {
        if tag == OCTET_STRING_IN_PIECES {
            return Ok(Node::Joined { tag: OCTET_STRING, value: join(&children)? });
        }
        // EncryptedContentInfo { id-data, algorithm, [0] IMPLICIT OCTET STRING }: only its place tells that this
        // [0] is a string.
        if let (SEQUENCE, [Node::Primitive { tag: 0x06, value }, _, content]) = (tag, children.as_mut_slice())
            && *value == ID_DATA.as_bytes()
            && let Node::Constructed { tag: CONTENT_IN_PIECES, children: pieces } = content
        {
            *content = Node::Joined { tag: CONTENT, value: join(pieces)? };
        }
        Ok(Node::Constructed { tag, children })
    }

    fn len(&self) -> usize {
        match self {
            Node::Primitive { value, .. } => value.len(),
            Node::Joined { value, .. } => value.len(),
            Node::Constructed { children, .. } => {
                children.iter().map(|child| child.len()).map(|len| 1 + length_len(len) + len).sum()
            }
        }
    }

    fn write(&self, der: &mut Vec<u8>) {
        let len = self.len();
        let tag = match self {
            Node::Primitive { tag, .. } | Node::Joined { tag, .. } | Node::Constructed { tag, .. } => *tag,
        };
        der.push(tag);
        if len < 0x80 {
            der.push(len as u8);
        } else {
            let bytes = (len as u32).to_be_bytes();
            let used = length_len(len) - 1;
            der.push(0x80 | used as u8);
            der.extend_from_slice(&bytes[4 - used..]);
        }
        match self {
            Node::Primitive { value, .. } => der.extend_from_slice(value),
            Node::Joined { value, .. } => der.extend_from_slice(value),
            Node::Constructed { children, .. } => children.iter().for_each(|child| child.write(der)),
        }
    }
}

/// Bytes of the length field; values are smaller than 64 KiB.
fn length_len(len: usize) -> usize {
    match len {
        0..=0x7f => 1,
        0x80..=0xff => 2,
        0x100..=0xffff => 3,
        0x1_0000..=0xff_ffff => 4,
        _ => 5,
    }
}

fn join(pieces: &[Node<'_>]) -> Result<Vec<u8>, SealError> {
    let mut whole = Vec::new();
    for piece in pieces {
        match piece {
            Node::Primitive { tag: OCTET_STRING, value } => whole.extend_from_slice(value),
            Node::Joined { tag: OCTET_STRING, value } => whole.extend_from_slice(value),
            _ => return Err(SealError::MalformedEnvelope("a string in pieces that are no strings")),
        }
    }
    Ok(whole)
}
