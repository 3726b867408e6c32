//! Why a single sign-on is refused: for programs a code, for people a sentence in their language.

use crate::error::ApiError;
use axum::http::StatusCode;
use std::time::Duration;

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The browser brought a state of no sign-in.
    UnknownState,
    /// It was brought before.
    UsedState,
    /// The browser took too long.
    TooLate,
    /// The person said no at the provider.
    Declined,
    /// The provider said no, with this error of RFC 6749.
    Provider(String),
    /// The provider does not answer, or not as it should.
    Unreachable(String),
    /// What the provider answered is not to be believed.
    Untrusted(String),
    /// The provider told no such claim.
    NoClaim(String),
    /// The provider has not verified the e-mail address.
    Unverified,
    /// Nobody here has this login name.
    UnknownPerson(String),
    /// They have no role here any more.
    NoRole,
    /// Too many failures: of the person, or from this address.
    Locked(Duration),
    /// The desktop brought a code that was never given.
    UnknownCode,
    /// It was brought before.
    UsedCode,
    /// It was brought too late.
    ExpiredCode,
    /// It is another desktop's.
    ForeignCode,
    /// The verifier is not that of the desktop's begin.
    WrongVerifier,
    /// Our own fault; the log says which.
    Internal,
}

/// What the refusal says: English, German.
type Words = [String; 2];

fn fixed(en: &str, de: &str) -> Words {
    [en.to_owned(), de.to_owned()]
}

impl Refusal {
    /// For programs, the audit log and the counters; never changes.
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::UnknownState => "unknown_state",
            Refusal::UsedState => "used_state",
            Refusal::TooLate => "too_late",
            Refusal::Declined => "declined",
            Refusal::Provider(_) => "provider_refused",
            Refusal::Unreachable(_) => "provider_unreachable",
            Refusal::Untrusted(_) => "provider_untrusted",
            Refusal::NoClaim(_) => "no_claim",
            Refusal::Unverified => "unverified",
            Refusal::UnknownPerson(_) => "unknown_person",
            Refusal::NoRole => "no_role",
            Refusal::Locked(_) => "too_many_attempts",
            Refusal::UnknownCode => "unknown_code",
            Refusal::UsedCode => "used_code",
            Refusal::ExpiredCode => "expired_code",
            Refusal::ForeignCode => "foreign_code",
            Refusal::WrongVerifier => "wrong_verifier",
            Refusal::Internal => "internal",
        }
    }

    /// The status it is answered with.
    pub fn status(&self) -> StatusCode {
        match self {
            Refusal::UnknownState | Refusal::UsedState | Refusal::TooLate => StatusCode::BAD_REQUEST,
            Refusal::Unreachable(_) | Refusal::Untrusted(_) => StatusCode::BAD_GATEWAY,
            Refusal::Declined
            | Refusal::Provider(_)
            | Refusal::NoClaim(_)
            | Refusal::Unverified
            | Refusal::UnknownPerson(_)
            | Refusal::NoRole => StatusCode::FORBIDDEN,
            Refusal::Locked(_) => StatusCode::TOO_MANY_REQUESTS,
            Refusal::UnknownCode
            | Refusal::UsedCode
            | Refusal::ExpiredCode
            | Refusal::ForeignCode
            | Refusal::WrongVerifier => StatusCode::UNAUTHORIZED,
            Refusal::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Whether it is what somebody who guesses would get: counted against their address.
    pub fn is_a_guess(&self) -> bool {
        match self {
            Refusal::UnknownPerson(_)
            | Refusal::NoRole
            | Refusal::UnknownCode
            | Refusal::UsedCode
            | Refusal::ForeignCode
            | Refusal::WrongVerifier => true,
            Refusal::UnknownState
            | Refusal::UsedState
            | Refusal::TooLate
            | Refusal::Declined
            | Refusal::Provider(_)
            | Refusal::Unreachable(_)
            | Refusal::Untrusted(_)
            | Refusal::NoClaim(_)
            | Refusal::Unverified
            | Refusal::Locked(_)
            | Refusal::ExpiredCode
            | Refusal::Internal => false,
        }
    }

    /// For people.
    pub fn words(&self) -> Words {
        match self {
            Refusal::UnknownState => fixed(
                "No desktop of this site waits for this sign-in. Begin again in Hindsight.",
                "Kein Arbeitsplatz wartet auf diese Anmeldung. Beginnen Sie in Hindsight noch einmal.",
            ),
            Refusal::UsedState => fixed(
                "This sign-in was ended already. Begin again in Hindsight.",
                "Diese Anmeldung ist schon beendet. Beginnen Sie in Hindsight noch einmal.",
            ),
            Refusal::TooLate => fixed(
                "The sign-in took too long. Begin again in Hindsight.",
                "Die Anmeldung hat zu lange gedauert. Beginnen Sie in Hindsight noch einmal.",
            ),
            Refusal::Declined => fixed(
                "The sign-in was declined at your company's sign-in service.",
                "Die Anmeldung wurde beim Anmeldedienst Ihrer Firma abgelehnt.",
            ),
            Refusal::Provider(why) => [
                format!("Your company's sign-in service refused the sign-in: {why}."),
                format!("Der Anmeldedienst Ihrer Firma hat die Anmeldung abgelehnt: {why}."),
            ],
            Refusal::Unreachable(why) => [
                format!("Your company's sign-in service cannot be used now: {why}."),
                format!("Der Anmeldedienst Ihrer Firma ist gerade nicht zu gebrauchen: {why}."),
            ],
            Refusal::Untrusted(why) => [
                format!("The answer of your company's sign-in service is not valid: {why}."),
                format!("Die Antwort des Anmeldedienstes Ihrer Firma ist nicht gültig: {why}."),
            ],
            Refusal::NoClaim(claim) => [
                format!(
                    "Your company's sign-in service does not tell \u{201c}{claim}\u{201d} of your account."
                ),
                format!("Der Anmeldedienst Ihrer Firma nennt \u{201e}{claim}\u{201c} Ihres Kontos nicht."),
            ],
            Refusal::Unverified => fixed(
                "Your company's sign-in service has not verified the e-mail address of your account.",
                "Der Anmeldedienst Ihrer Firma hat die E-Mail-Adresse Ihres Kontos nicht bestätigt.",
            ),
            Refusal::UnknownPerson(account) => [
                format!(
                    "The account \u{201c}{account}\u{201d} is not known at this site. Ask your administrator."
                ),
                format!(
                    "Das Konto \u{201e}{account}\u{201c} ist hier nicht bekannt. Fragen Sie Ihren Administrator."
                ),
            ],
            Refusal::NoRole => fixed(
                "Your account may do nothing at this site. Ask your administrator.",
                "Ihr Konto darf hier nichts tun. Fragen Sie Ihren Administrator.",
            ),
            Refusal::Locked(_) => fixed(
                "There were too many failed sign-ins; try again later.",
                "Es gab zu viele fehlgeschlagene Anmeldungen; versuchen Sie es später noch einmal.",
            ),
            Refusal::UnknownCode => fixed(
                "The link of the browser belongs to no sign-in; begin again.",
                "Der Link des Browsers gehört zu keiner Anmeldung; beginnen Sie noch einmal.",
            ),
            Refusal::UsedCode => fixed(
                "The link of the browser was used already; begin again.",
                "Der Link des Browsers wurde schon benutzt; beginnen Sie noch einmal.",
            ),
            Refusal::ExpiredCode => fixed(
                "The link of the browser came too late; begin again.",
                "Der Link des Browsers kam zu spät; beginnen Sie noch einmal.",
            ),
            Refusal::ForeignCode => fixed(
                "The link of the browser belongs to the sign-in of another desktop; begin again.",
                "Der Link des Browsers gehört zur Anmeldung an einem anderen Arbeitsplatz; beginnen Sie noch einmal.",
            ),
            Refusal::WrongVerifier => fixed(
                "The sign-in was begun by another program than the one that ends it; begin again.",
                "Die Anmeldung hat ein anderes Programm begonnen als das, das sie beendet; beginnen Sie noch einmal.",
            ),
            Refusal::Internal => fixed(
                "The server could not do this; its log says why.",
                "Der Server konnte das nicht tun; sein Protokoll sagt, warum.",
            ),
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        if let Refusal::Locked(wait) = refusal {
            return ApiError::too_many(wait);
        }
        let [english, _] = refusal.words();
        ApiError::new(refusal.status(), refusal.code(), english)
    }
}

impl From<ApiError> for Refusal {
    /// What storage could not do; it is in the log.
    fn from(_: ApiError) -> Self {
        Refusal::Internal
    }
}

impl From<hindsight_store::StoreError> for Refusal {
    fn from(error: hindsight_store::StoreError) -> Self {
        Refusal::from(ApiError::from(error))
    }
}
