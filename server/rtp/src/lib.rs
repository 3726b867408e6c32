//! RTP and RTCP views, sequence and quality accounting.
