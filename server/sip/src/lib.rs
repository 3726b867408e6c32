//! Sans-IO SIP: messages, transactions, dialogs, digest; sockets at the edge.
