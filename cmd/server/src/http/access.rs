//! Who may do what. The only place that decides it; it is asked for every request that needs a login.

use std::{fmt, sync::Arc};

use super::auth::Audience;

/// Somebody whose token was accepted.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(super) login: Login,
    /// What the token is for.
    pub(super) audiences: Vec<Audience>,
}

/// How somebody has logged in.
#[derive(Debug, Clone)]
pub(crate) enum Login {
    /// All who have it are the same.
    StaticToken,
    /// With a token of an identity provider; its subject.
    Subject(Arc<str>),
}

impl Login {
    /// For the log.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::StaticToken => "static token",
            Self::Subject(_) => "identity provider",
        }
    }
}

impl Caller {
    /// The person or machine that the identity provider vouches for.
    pub(super) fn subject(&self) -> Option<&str> {
        match &self.login {
            Login::StaticToken => None,
            Login::Subject(subject) => Some(subject),
        }
    }
}

/// `jane@example.com`, or what the token is for where that is all that is known.
impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.subject() {
            Some(subject) => f.write_str(subject),
            None => f.write_str(
                &self.audiences.iter().map(|audience| audience.name()).collect::<Vec<_>>().join(","),
            ),
        }
    }
}

/// The token is good, but for something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not for the endpoints of {}", .0.name())]
pub(super) struct NotForThese(pub(super) Audience);

/// May this caller use these endpoints? So far, everybody may do all that the token is for.
pub(super) fn may_use(caller: &Caller, endpoints: Audience) -> Result<(), NotForThese> {
    if caller.audiences.contains(&endpoints) { Ok(()) } else { Err(NotForThese(endpoints)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_may_use_what_the_token_is_for_and_nothing_else() {
        for login in [Login::StaticToken, Login::Subject("jane".into())] {
            for own in Audience::ALL {
                let caller = Caller { login: login.clone(), audiences: vec![own] };
                for endpoints in Audience::ALL {
                    assert_eq!(
                        may_use(&caller, endpoints).is_ok(),
                        own == endpoints,
                        "{caller} {endpoints:?}"
                    );
                }
            }
            let nobody = Caller { login, audiences: Vec::new() };
            assert!(Audience::ALL.iter().all(|endpoints| may_use(&nobody, *endpoints).is_err()));
        }
    }

    #[test]
    fn the_log_names_the_person_or_else_what_the_token_is_for() {
        let both = vec![Audience::Hamctl, Audience::Artifact];
        let shared = Caller { login: Login::StaticToken, audiences: both.clone() };
        assert_eq!(shared.to_string(), "hamctl,artifact");
        let jane = Caller { login: Login::Subject("jane@example.com".into()), audiences: both };
        assert_eq!(jane.to_string(), "jane@example.com");
    }
}
