//! A device's identity, enrolment and live link to the web services.
