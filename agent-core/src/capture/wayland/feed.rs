//! Pictures from PipeWire: a thread that keeps the newest of each shared monitor.
//!
//! PipeWire hands a picture over when something changed. It is copied at once, because its memory goes back to the
//! compositor; no more than 15 a second are asked for. Some compositors hand over nothing at all before the first change:
//! then a capture begins black.

use super::upright::{Order, Turn, make_upright};
use crate::capture::{CaptureError, Frame, Rect};
use pipewire::{
    channel::{Sender, channel},
    context::ContextRc,
    keys,
    main_loop::MainLoopRc,
    properties::properties,
    spa::{
        buffer::{ChunkFlags, meta::MetaVideoTransform},
        param::{
            ParamType,
            format::{FormatProperties, MediaSubtype, MediaType},
            video::{VideoFormat, VideoInfoRaw},
        },
        pod::{Object, Pod, Property, Value, object, property, serialize::PodSerializer},
        utils::{Direction, Fraction, Rectangle, SpaTypes},
    },
    stream::{Stream, StreamFlags, StreamListener, StreamRc, StreamState},
};
use std::{
    io::Cursor,
    os::fd::OwnedFd,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Most pictures a second: the most that a policy can ask for.
const FRAME_RATE: u32 = 15;
/// How long a stream may take to say what it brings.
const FORMAT: Duration = Duration::from_secs(5);
/// How long a first picture is waited for.
const FIRST_PICTURE: Duration = Duration::from_millis(250);
/// Largest side of a monitor that is negotiated.
const LARGEST: u32 = 16_384;

/// Follows shared monitors until it is dropped.
pub struct Feed {
    stop: Sender<()>,
    thread: Option<JoinHandle<()>>,
    views: Vec<Arc<View>>,
    scratch: Vec<u8>,
}

/// The newest picture of one monitor.
#[derive(Default)]
struct View {
    latest: Mutex<Latest>,
    told: Condvar,
}

#[derive(Default)]
struct Latest {
    size: (u32, u32),
    stride: usize,
    turn: Turn,
    order: Order,
    pixels: Vec<u8>,
    /// No grab has seen it.
    fresh: bool,
    /// There was one.
    any: bool,
    /// Why no more will come.
    ended: Option<String>,
}

impl Feed {
    /// Connects to what the portal shares, and waits for the size of each, and a little for a first picture.
    pub fn start(remote: OwnedFd, nodes: &[u32]) -> Result<Self, CaptureError> {
        let views: Vec<Arc<View>> = nodes.iter().map(|_| Arc::default()).collect();
        let pairs: Vec<(u32, Arc<View>)> = nodes.iter().copied().zip(views.iter().cloned()).collect();
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new().name("screen-pipewire".to_owned()).spawn(move || {
            if let Err(error) = follow(remote, &pairs, stopped) {
                for (_, view) in &pairs {
                    view.end(&error.to_string());
                }
            }
        })?;
        let feed = Self { stop, thread: Some(thread), views, scratch: Vec::new() };
        let until = Instant::now() + FORMAT;
        for view in &feed.views {
            view.wait_format(until)?;
        }
        let until = Instant::now() + FIRST_PICTURE;
        for view in &feed.views {
            drop(view.wait_while(until, |latest| !latest.any));
        }
        Ok(feed)
    }

    /// The size of a monitor's pictures, upright.
    pub fn size(&self, number: usize) -> (u32, u32) {
        let latest = self.views[number].lock();
        latest.turn.upright_size(latest.size)
    }

    /// Whether a monitor has shown something yet.
    pub fn shows(&self, number: usize) -> bool {
        self.views[number].lock().any
    }

    /// Why a stream ended, if one did.
    pub fn ended(&self) -> Option<String> {
        self.views.iter().find_map(|view| view.lock().ended.clone())
    }

    /// Takes over the newest picture, when it is new or `all` is set; gives the band that changed, and clears `all`.
    pub fn grab(
        &mut self,
        number: usize,
        frame: &mut Frame,
        all: &mut bool,
    ) -> Result<Option<Rect>, CaptureError> {
        let mut latest = self.views[number].lock();
        if !latest.any || !(std::mem::take(&mut latest.fresh) || *all) {
            return Ok(None);
        }
        let all = std::mem::take(all);
        let (width, height) = latest.turn.upright_size(latest.size);
        if frame.area() != Rect::of_size(width, height) {
            return Err(CaptureError::LayoutChanged);
        }
        if latest.turn.is_none() && latest.order == Order::Bgrx {
            return Ok(frame.take_over(&latest.pixels, latest.stride, all));
        }
        let Latest { pixels, stride, size, turn, order, .. } = &*latest;
        make_upright(pixels, *stride, *size, *turn, *order, &mut self.scratch);
        Ok(frame.take_over(&self.scratch, width as usize * 4, all))
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        // An error: the thread has ended already.
        let _ = self.stop.send(());
        if self.thread.take().map(JoinHandle::join).is_some_and(|joined| joined.is_err()) {
            tracing::error!("the thread of PipeWire panicked");
        }
    }
}

impl View {
    fn lock(&self) -> MutexGuard<'_, Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, why: &str) {
        self.lock().ended.get_or_insert_with(|| why.to_owned());
        self.told.notify_all();
    }

    fn wait_while(&self, until: Instant, waits: impl Fn(&Latest) -> bool) -> MutexGuard<'_, Latest> {
        let left = until.saturating_duration_since(Instant::now());
        let goes_on = |latest: &mut Latest| waits(latest) && latest.ended.is_none();
        let waited = self.told.wait_timeout_while(self.lock(), left, goes_on);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn wait_format(&self, until: Instant) -> Result<(), CaptureError> {
        let latest = self.wait_while(until, |latest| latest.size == (0, 0));
        match &latest.ended {
            Some(why) => Err(CaptureError::Refused(why.clone())),
            None if latest.size == (0, 0) => {
                Err(CaptureError::Refused("the stream did not begin".to_owned()))
            }
            None => Ok(()),
        }
    }

    /// What the pictures will be like, before there is one.
    fn begin(&self, format: &VideoInfoRaw) {
        let mut latest = self.lock();
        if !latest.any {
            latest.size = (format.size().width, format.size().height);
            drop(latest);
            self.told.notify_all();
        }
    }

    fn take(&self, stream: &Stream, format: &VideoInfoRaw) {
        // The newest; those before it go back unread.
        let mut newest = None;
        while let Some(buffer) = stream.dequeue_buffer() {
            newest = Some(buffer);
        }
        let Some(mut buffer) = newest else { return };
        let turn = buffer.find_meta::<MetaVideoTransform>().map_or(0, |meta| meta.as_raw().transform);
        let [data, ..] = buffer.datas_mut() else { return };
        let chunk = data.chunk();
        let (offset, length, flags) = (chunk.offset() as usize, chunk.size() as usize, chunk.flags());
        let (stride, size) = (chunk.stride(), (format.size().width, format.size().height));
        let stride = if stride > 0 { stride as usize } else { size.0 as usize * 4 };
        let rows = stride * size.1 as usize;
        let Some(pixels) = data.data().and_then(|data| data.get(offset..offset + rows)) else { return };
        // An empty chunk brings a new cursor or nothing, no picture.
        if length == 0 || flags.contains(ChunkFlags::CORRUPTED) || stride < size.0 as usize * 4 {
            return;
        }
        let mut latest = self.lock();
        latest.pixels.clear();
        latest.pixels.extend_from_slice(pixels);
        (latest.size, latest.stride, latest.turn) = (size, stride, Turn(turn));
        latest.order = match format.format() {
            VideoFormat::RGBx | VideoFormat::RGBA => Order::Rgbx,
            _ => Order::Bgrx,
        };
        (latest.fresh, latest.any) = (true, true);
        drop(latest);
        self.told.notify_all();
    }
}

/// Runs PipeWire's loop until told to stop.
fn follow(
    remote: OwnedFd,
    nodes: &[(u32, Arc<View>)],
    stopped: pipewire::channel::Receiver<()>,
) -> Result<(), pipewire::Error> {
    pipewire::init();
    let main_loop = MainLoopRc::new(None)?;
    let _stopped = stopped.attach(main_loop.loop_(), {
        let main_loop = main_loop.clone();
        move |()| main_loop.quit()
    });
    let context = ContextRc::new(&main_loop, None)?;
    let core = context.connect_fd_rc(remote, None)?;
    let lost: Vec<Arc<View>> = nodes.iter().map(|(_, view)| view.clone()).collect();
    let _core = core
        .add_listener_local()
        .error(move |id, _, _, message| {
            // 0 is the connection itself; anything else concerns one stream, which says so too.
            if id == 0 {
                lost.iter().for_each(|view| view.end(message));
            }
        })
        .register();
    let mut streams = Vec::new();
    for (node, view) in nodes {
        let properties = properties! {
            *keys::MEDIA_TYPE => "Video",
            *keys::MEDIA_CATEGORY => "Capture",
            *keys::MEDIA_ROLE => "Screen",
        };
        let stream = StreamRc::new(core.clone(), "hindsight-recorder", properties)?;
        let listener = listen(&stream, view)?;
        let offered = pod(offered_format());
        stream.connect(
            Direction::Input,
            Some(*node),
            StreamFlags::AUTOCONNECT | StreamFlags::MAP_BUFFERS,
            &mut Pod::from_bytes(&offered).into_iter().collect::<Vec<_>>(),
        )?;
        streams.push((listener, stream));
    }
    main_loop.run();
    Ok(())
}

fn listen(stream: &StreamRc, view: &Arc<View>) -> Result<StreamListener<VideoInfoRaw>, pipewire::Error> {
    let (states, formats, pictures) = (view.clone(), view.clone(), view.clone());
    stream
        .add_local_listener_with_user_data(VideoInfoRaw::default())
        .state_changed(move |_, _, old, new| match new {
            StreamState::Error(why) => states.end(&why),
            StreamState::Unconnected if old != StreamState::Unconnected => {
                states.end("the compositor ended it");
            }
            StreamState::Unconnected
            | StreamState::Connecting
            | StreamState::Paused
            | StreamState::Streaming => {}
        })
        .param_changed(move |stream, format, id, param| {
            let Some(param) = param.filter(|_| id == ParamType::Format.as_raw()) else { return };
            if let Err(error) = format.parse(param) {
                tracing::warn!(?error, "a picture format that cannot be read");
                return;
            }
            formats.begin(format);
            let wanted = pod(wanted_turn());
            let mut wanted: Vec<&Pod> = Pod::from_bytes(&wanted).into_iter().collect();
            if let Err(error) = stream.update_params(&mut wanted) {
                tracing::debug!(%error, "the compositor will not say how pictures lie");
            }
        })
        .process(move |stream, format| pictures.take(stream, format))
        .register()
}

fn offered_format() -> Object {
    let rate = |num| Fraction { num, denom: 1 };
    let side = |length| Rectangle { width: length, height: length };
    object!(
        SpaTypes::ObjectParamFormat,
        ParamType::EnumFormat,
        property!(FormatProperties::MediaType, Id, MediaType::Video),
        property!(FormatProperties::MediaSubtype, Id, MediaSubtype::Raw),
        property!(
            FormatProperties::VideoFormat,
            Choice,
            Enum,
            Id,
            VideoFormat::BGRx,
            VideoFormat::BGRx,
            VideoFormat::BGRA,
            VideoFormat::RGBx,
            VideoFormat::RGBA
        ),
        property!(FormatProperties::VideoSize, Choice, Range, Rectangle, side(1024), side(1), side(LARGEST)),
        property!(FormatProperties::VideoFramerate, Choice, Range, Fraction, rate(0), rate(0), rate(1000)),
        property!(
            FormatProperties::VideoMaxFramerate,
            Choice,
            Range,
            Fraction,
            rate(FRAME_RATE),
            rate(1),
            rate(FRAME_RATE)
        ),
    )
}

/// Asks to be told how pictures lie in their buffers.
fn wanted_turn() -> Object {
    let meta = |key, value| Property { key, flags: pipewire::spa::pod::PropertyFlags::empty(), value };
    let id = |id| Value::Id(pipewire::spa::utils::Id(id));
    Object {
        type_: SpaTypes::ObjectParamMeta.as_raw(),
        id: ParamType::Meta.as_raw(),
        properties: vec![
            meta(pipewire::spa::sys::SPA_PARAM_META_type, id(pipewire::spa::sys::SPA_META_VideoTransform)),
            meta(
                pipewire::spa::sys::SPA_PARAM_META_size,
                Value::Int(size_of::<pipewire::spa::sys::spa_meta_videotransform>() as i32),
            ),
        ],
    }
}

fn pod(object: Object) -> Vec<u8> {
    PodSerializer::serialize(Cursor::new(Vec::new()), &Value::Object(object))
        .map(|(cursor, _)| cursor.into_inner())
        .expect("a vector takes any number of bytes")
}
