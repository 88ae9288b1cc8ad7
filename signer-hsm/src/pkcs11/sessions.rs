//! One session on a token, logged in, and what is asked over it.

use core::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cryptoki::context::Function;
use cryptoki::error::{Error as Raw, RvError};
use cryptoki::mechanism::MechanismType;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, SessionState, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::AuthPin;
use pki_core::{KeyAlgorithm, SignatureAlgorithm};
use zeroize::Zeroizing;

use super::attributes::{Recipe, check_private, find_template};
use super::error::{CallError, Pkcs11Error};
use super::mechanism::Scheme;
use super::module::Pkcs11Module;
use super::public_key::{PublicKey, PublicKeyFault};
use super::uri::Pkcs11Uri;

/// A user's PIN. It is wiped when it is dropped, and never shown.
pub struct Pin(Zeroizing<String>);

impl Pin {
    /// Takes the PIN over.
    #[must_use]
    pub fn new(pin: impl Into<Zeroizing<String>>) -> Self {
        Self(pin.into())
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin")
    }
}

/// Logs in, and holds back once a PIN was refused: the next wrong one may lock the token.
pub(super) struct Login {
    pin: Box<dyn Fn() -> Option<Pin> + Send + Sync>,
    withheld: AtomicBool,
    /// How often in a row a login failed for another reason.
    failed: AtomicU32,
    /// One at a time: the others find it done.
    turn: Mutex<()>,
}

/// Some tokens count a PIN whatever else they answer. One attempt more is for a token that was lost in that very moment.
const FAILED_LOGINS_MAX: u32 = 2;

impl Login {
    pub(super) fn new(pin: impl Fn() -> Option<Pin> + Send + Sync + 'static) -> Self {
        let (withheld, failed, turn) = (AtomicBool::new(false), AtomicU32::new(0), Mutex::new(()));
        Self { pin: Box::new(pin), withheld, failed, turn }
    }

    pub(super) fn allow(&self) {
        self.failed.store(0, Ordering::Release);
        self.withheld.store(false, Ordering::Release);
    }

    /// The login is the process's, not the session's: the sessions that come later find it done.
    fn ensure(&self, session: &Session, module: &Pkcs11Module) -> Result<(), Pkcs11Error> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if is_logged_in(session)? {
            self.failed.store(0, Ordering::Release);
            return Ok(());
        }
        if self.withheld.load(Ordering::Acquire) {
            return Err(Pkcs11Error::LoginWithheld);
        }
        // A panic of the embedder's would take the worker along, and leave its callers waiting.
        let pin = panic::catch_unwind(AssertUnwindSafe(|| (self.pin)())).ok().flatten();
        let pin = AuthPin::from(Box::<str>::from(pin.ok_or(Pkcs11Error::PinMissing)?.0.as_str()));
        module.note_login();
        match session.login(UserType::User, Some(&pin)).map_err(CallError::from) {
            Err(call) if call.is_pin_refusal() => {
                self.withheld.store(true, Ordering::Release);
                Err(Pkcs11Error::PinRefused(call))
            }
            Err(call) if call.code() != Some(RvError::UserAlreadyLoggedIn) => {
                let failed = self.failed.fetch_add(1, Ordering::AcqRel).saturating_add(1);
                self.withheld.store(failed >= FAILED_LOGINS_MAX, Ordering::Release);
                Err(Pkcs11Error::Call(call))
            }
            Ok(()) | Err(_) => {
                self.failed.store(0, Ordering::Release);
                Ok(())
            }
        }
    }
}

fn is_logged_in(session: &Session) -> Result<bool, Pkcs11Error> {
    let state = session.get_session_info()?.session_state();
    Ok(matches!(state, SessionState::RoUser | SessionState::RwUser))
}

/// What a handle is bound to: whatever the label names later, this is the key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct KeyIdentity {
    pub(super) label: Option<Vec<u8>>,
    pub(super) id: Vec<u8>,
    pub(super) public: PublicKey,
}

/// A session, and the object handles found over it. Both are gone with the epoch of the module.
pub(super) struct Connection {
    module: Pkcs11Module,
    session: Session,
    slot: Slot,
    info: TokenInfo,
    pub(super) epoch: u64,
    login_required: bool,
    accept_imported: bool,
    mechanisms: Vec<MechanismType>,
    handles: Vec<(Arc<KeyIdentity>, ObjectHandle)>,
    /// As of when `handles` is, by the module's [count](Pkcs11Module::objects).
    objects: u64,
}

/// Enough for the authorities of a cluster; with more keys the handles are found again.
const HANDLES_MAX: usize = 64;
/// Two would do to see that a label is not unique.
const FOUND_MAX: usize = 16;

impl Connection {
    /// Finds the token, opens a session and logs in. The caller is in the module.
    pub(super) fn open(
        module: &Pkcs11Module,
        epoch: u64,
        token: &Pkcs11Uri,
        login: &Login,
        accept_imported: bool,
    ) -> Result<Self, Pkcs11Error> {
        let (slot, info) = find_token(module, token)?;
        let context = module.context();
        let mechanisms = context.get_mechanism_list(slot)?;
        // Closed by hand: a session that closes itself when it is dropped would, after a restart, close whichever
        // session has its number by then.
        let session = match context.open_rw_session_no_drop(slot) {
            Err(Raw::Pkcs11(RvError::TokenWriteProtected, _)) => context.open_ro_session_no_drop(slot)?,
            opened => opened?,
        };
        let connection = Self {
            module: module.clone(),
            session,
            slot,
            epoch,
            login_required: info.login_required(),
            info,
            accept_imported,
            mechanisms,
            handles: Vec::new(),
            objects: module.objects(),
        };
        if connection.login_required
            && let Err(error) = login.ensure(&connection.session, module)
        {
            connection.close();
            return Err(error);
        }
        Ok(connection)
    }

    /// Whether a URI names the token of this session, or none.
    pub(super) fn is_on(&self, object: &Pkcs11Uri) -> bool {
        fits(object, self.slot, &self.info)
    }

    /// Closes the session. The caller is in the module, in the epoch of the session.
    pub(super) fn close(self) {
        // One that cannot be closed is lost already.
        let _closed = self.session.close();
    }

    pub(super) const fn session(&self) -> &Session {
        &self.session
    }

    pub(super) fn mechanisms(&self) -> &[MechanismType] {
        &self.mechanisms
    }

    /// Forgets the handles if they may be something else's by now.
    pub(super) fn forget_stale(&mut self) {
        let objects = self.module.objects();
        if self.objects != objects {
            self.handles.clear();
            self.objects = objects;
        }
    }

    /// An empty answer means nothing from a token that is gone, or that hides private keys because nobody is logged in.
    pub(super) fn confirm(&self) -> Result<(), Pkcs11Error> {
        self.module.context().get_token_info(self.slot)?;
        if self.login_required && !is_logged_in(&self.session)? {
            return Err(Raw::Pkcs11(RvError::UserNotLoggedIn, Function::FindObjects).into());
        }
        Ok(())
    }

    pub(super) fn objects(
        &self,
        class: ObjectClass,
        label: Option<&[u8]>,
        id: Option<&[u8]>,
    ) -> Result<Vec<ObjectHandle>, Pkcs11Error> {
        let template = find_template(class, label, id);
        let found: Result<Vec<_>, _> = self.session.iter_objects(&template)?.take(FOUND_MAX).collect();
        let found = found?;
        if found.is_empty() {
            self.confirm()?;
        }
        Ok(found)
    }

    /// The one private key, if there is one.
    pub(super) fn private_key(
        &self,
        label: Option<&[u8]>,
        id: Option<&[u8]>,
    ) -> Result<Option<ObjectHandle>, Pkcs11Error> {
        match *self.objects(ObjectClass::PRIVATE_KEY, label, id)? {
            [] => Ok(None),
            [key] => Ok(Some(key)),
            ref several => Err(Pkcs11Error::LabelAmbiguous { found: several.len() }),
        }
    }

    /// Finds a key, judges it, and reads its public half.
    pub(super) fn open_key(
        &mut self,
        label: Option<Vec<u8>>,
        id: Option<&[u8]>,
    ) -> Result<Arc<KeyIdentity>, Pkcs11Error> {
        let private = self.private_key(label.as_deref(), id)?.ok_or(Pkcs11Error::KeyNotFound)?;
        check_private(&self.session, private, self.accept_imported)?;
        let id = self.id_of(private)?;
        let public = match *self.objects(ObjectClass::PUBLIC_KEY, None, Some(&id))? {
            [] => return Err(Pkcs11Error::PublicKey(PublicKeyFault::Missing)),
            [public] => PublicKey::read(&self.session, public)?,
            _ => return Err(Pkcs11Error::PublicKey(PublicKeyFault::Ambiguous)),
        };
        let key = Arc::new(KeyIdentity { label, id, public });
        self.remember(&key, private);
        Ok(key)
    }

    fn id_of(&self, object: ObjectHandle) -> Result<Vec<u8>, Pkcs11Error> {
        match self.session.get_attributes(object, &[AttributeType::Id])?.pop() {
            Some(Attribute::Id(id)) if !id.is_empty() => Ok(id),
            _ => Err(Pkcs11Error::PublicKey(PublicKeyFault::WithoutId)),
        }
    }

    /// Makes a key that did not exist, and reads back what the token made.
    pub(super) fn generate(
        &mut self,
        label: &[u8],
        algorithm: KeyAlgorithm,
        id: &[u8],
    ) -> Result<Arc<KeyIdentity>, Pkcs11Error> {
        self.scheme(algorithm.certificate_signature())?;
        let recipe = Recipe::of(algorithm)?;
        if !self.mechanisms.contains(&recipe.mechanism.mechanism_type()) {
            return Err(Pkcs11Error::Mechanism { needed: recipe.mechanism_name });
        }
        if !self.objects(ObjectClass::PRIVATE_KEY, Some(label), None)?.is_empty() {
            return Err(Pkcs11Error::KeyExists);
        }
        let (public, private) = recipe.generate(&self.session, label, id)?;
        let made = self.made(algorithm, label, id, public, private);
        if let Err(error) = made {
            // Neither half stays, as far as the token still listens.
            let swept = [private, public].map(|object| self.session.destroy_object(object).map_err(CallError::from));
            self.module.note_destruction();
            let left = swept.into_iter().filter_map(Result::err).find(|call| !call.is_stale_object());
            return Err(left.map_or(error, Pkcs11Error::GenerationUnknown));
        }
        made
    }

    fn made(
        &mut self,
        algorithm: KeyAlgorithm,
        label: &[u8],
        id: &[u8],
        public: ObjectHandle,
        private: ObjectHandle,
    ) -> Result<Arc<KeyIdentity>, Pkcs11Error> {
        check_private(&self.session, private, false)?;
        let public = PublicKey::read(&self.session, public)?;
        if public.algorithm != algorithm {
            return Err(Pkcs11Error::PublicKey(PublicKeyFault::Unsupported));
        }
        // Another process may have had the same thought at the same time. Then both give way.
        if self.objects(ObjectClass::PRIVATE_KEY, Some(label), None)?.len() != 1 {
            return Err(Pkcs11Error::KeyExists);
        }
        let key = Arc::new(KeyIdentity { label: Some(label.to_vec()), id: id.to_vec(), public });
        self.remember(&key, private);
        Ok(key)
    }

    /// Destroys the private key first: after half of it nothing signs.
    pub(super) fn destroy(&mut self, label: &[u8]) -> Result<(), Pkcs11Error> {
        let private = self.private_key(Some(label), None)?;
        let public = self.objects(ObjectClass::PUBLIC_KEY, Some(label), None)?;
        self.handles.clear();
        for object in private.into_iter().chain(public) {
            let destroyed = self.session.destroy_object(object).map_err(CallError::from);
            // Here and not by whoever waits: that one may have given up before.
            self.module.note_destruction();
            match destroyed {
                Ok(()) => {}
                Err(call) if call.is_stale_object() => {}
                Err(call) => return Err(Pkcs11Error::Call(call)),
            }
        }
        Ok(())
    }

    pub(super) fn scheme(&self, algorithm: SignatureAlgorithm) -> Result<Scheme, Pkcs11Error> {
        Scheme::choose(algorithm, &self.mechanisms)
    }

    pub(super) fn sign(
        &mut self,
        key: &Arc<KeyIdentity>,
        scheme: Scheme,
        input: &[u8],
    ) -> Result<Vec<u8>, Pkcs11Error> {
        let known = self.handles.iter().find(|(known, _)| known == key).map(|(_, handle)| *handle);
        if let Some(handle) = known {
            match self.session.sign(&scheme.mechanism(), handle, input).map_err(CallError::from) {
                Ok(answer) => return scheme.signature(answer),
                Err(call) if call.is_stale_object() => self.handles.retain(|(known, _)| known != key),
                Err(call) => return Err(Pkcs11Error::Call(call)),
            }
        }
        // What is found is remembered as what it is: under this key only if it is this key.
        self.open_key(key.label.clone(), Some(&key.id))?;
        let handle = self.handles.iter().find(|(known, _)| known == key).map(|(_, handle)| *handle);
        match handle {
            Some(handle) => {
                let answer = self.session.sign(&scheme.mechanism(), handle, input)?;
                scheme.signature(answer)
            }
            None => Err(Pkcs11Error::KeyNotFound),
        }
    }

    fn remember(&mut self, key: &Arc<KeyIdentity>, handle: ObjectHandle) {
        self.handles.retain(|(known, _)| known != key);
        if self.handles.len() >= HANDLES_MAX {
            self.handles.clear();
        }
        self.handles.push((Arc::clone(key), handle));
    }
}

fn find_token(module: &Pkcs11Module, token: &Pkcs11Uri) -> Result<(Slot, TokenInfo), Pkcs11Error> {
    let mut fitting = Vec::new();
    let mut unknown = None;
    for slot in module.context().get_slots_with_token()? {
        match module.context().get_token_info(slot) {
            Ok(info) if info.token_initialized() && fits(token, slot, &info) => fitting.push((slot, info)),
            Ok(_) => {}
            // A token that is pulled out between the two calls is one that is not there.
            Err(Raw::Pkcs11(RvError::TokenNotPresent | RvError::TokenNotRecognized | RvError::SlotIdInvalid, _)) => {}
            // Somebody else's token that is broken is no reason to do without ours.
            Err(error) => unknown = Some(error),
        }
    }
    match (fitting.pop(), unknown) {
        (Some(_), _) if !fitting.is_empty() => Err(Pkcs11Error::TokenAmbiguous { found: fitting.len() + 1 }),
        (Some(found), _) => Ok(found),
        (None, Some(error)) => Err(error.into()),
        (None, None) => Err(Pkcs11Error::TokenNotFound),
    }
}

fn fits(token: &Pkcs11Uri, slot: Slot, info: &TokenInfo) -> bool {
    let fits = |wanted: Option<&str>, found: &str| wanted.is_none_or(|wanted| wanted == found);
    fits(token.token(), info.label())
        && fits(token.manufacturer(), info.manufacturer_id())
        && fits(token.serial(), info.serial_number())
        && fits(token.model(), info.model())
        && token.slot_id().is_none_or(|wanted| wanted == slot.id())
}
