//! Media Server Markup Language (RFC 5707), the part we use.
