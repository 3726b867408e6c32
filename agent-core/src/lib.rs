//! Screen capture, encoding and its control; the program hindsight-recorder.
