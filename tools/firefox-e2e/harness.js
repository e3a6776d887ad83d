// Loaded once into each Firefox, in a system sandbox.  Defines H, the functions
// that the scenario calls.

const { Weave } = ChromeUtils.importESModule("resource://services-sync/main.sys.mjs");
const { getFxAccountsSingleton } = ChromeUtils.importESModule("resource://gre/modules/FxAccounts.sys.mjs");
const { setTimeout } = ChromeUtils.importESModule("resource://gre/modules/Timer.sys.mjs");
const { Doctor } = ChromeUtils.importESModule("resource://services-sync/doctor.sys.mjs");
const { SyncDisconnect } = ChromeUtils.importESModule("resource://services-sync/SyncDisconnect.sys.mjs");
const fxAccounts = getFxAccountsSingleton();
const sleep = ms => new Promise(done => setTimeout(done, ms));

globalThis.H = {
  Service: Weave.Service,
  trace: [],
  events: [],

  // ---- what goes over the wire -------------------------------------------

  startTrace() {
    const seen = new WeakMap();
    const headers = (channel, visit) => {
      const all = {};
      channel[visit]({ visitHeader: (name, value) => (all[name.toLowerCase()] = value) });
      return all;
    };
    const body = channel => {
      try {
        const stream = channel.QueryInterface(Ci.nsIUploadChannel).uploadStream;
        if (!stream) {
          return null;
        }
        const seekable = stream.QueryInterface(Ci.nsISeekableStream);
        seekable.seek(0, 0);
        const reader = Cc["@mozilla.org/binaryinputstream;1"].createInstance(Ci.nsIBinaryInputStream);
        reader.setInputStream(stream);
        const text = reader.readBytes(stream.available());
        seekable.seek(0, 0);
        return text;
      } catch (e) {
        return "?" + e;
      }
    };
    const onResponse = (subject, topic) => {
      let channel;
      try {
        channel = subject.QueryInterface(Ci.nsIHttpChannel);
      } catch (e) {
        return;
      }
      if (seen.has(channel)) {
        return;
      }
      seen.set(channel, true);
      const entry = {
        t: Date.now(),
        method: channel.requestMethod,
        url: channel.URI.spec,
        http: null,
        status: null,
        request: headers(channel, "visitRequestHeaders"),
        response: {},
        body: ["POST", "PUT"].includes(channel.requestMethod) ? body(channel) : null,
      };
      try {
        entry.status = channel.responseStatus;
        entry.http = channel.protocolVersion;
        entry.response = headers(channel, "visitResponseHeaders");
      } catch (e) {}
      H.trace.push(entry);
    };
    Services.obs.addObserver(onResponse, "http-on-examine-response");
    Services.obs.addObserver(onResponse, "http-on-stop-request"); // no answer at all
  },

  drain() {
    return H.trace.splice(0);
  },

  // ---- sync ---------------------------------------------------------------

  async ready() {
    await Weave.Service.promiseInitialized;
    H.startTrace();
    const note = topic =>
      Services.obs.addObserver((subject, _, data) => {
        let detail = null;
        try {
          const s = subject?.wrappedJSObject?.object ?? subject?.wrappedJSObject ?? subject;
          detail = s === null || s === undefined ? null : String(s.message ?? (s.status ? "HTTP " + s.status : JSON.stringify(s)));
        } catch (e) {}
        H.events.push({ topic, data, detail });
      }, topic);
    for (const topic of [
      "weave:service:sync:start",
      "weave:service:sync:finish",
      "weave:service:sync:error",
      "weave:service:login:error",
      "weave:engine:sync:error",
      "weave:engine:sync:applied",
      "weave:engine:sync:uploaded",
      "weave:engine:validate:finish",
      "weave:engine:validate:error",
      "weave:service:backoff:interval",
    ]) {
      note(topic);
    }
    return { version: Services.appinfo.version, build: Services.appinfo.appBuildID };
  },

  // Sync's own scheduling off (true) or on: off, it syncs when told and only then.
  manual(on) {
    const scheduler = Weave.Service.scheduler;
    if (on) {
      scheduler.clearSyncTriggers();
      Object.defineProperty(scheduler, "scheduleNextSync", { value() {}, configurable: true });
    } else {
      delete scheduler.scheduleNextSync;
    }
  },

  result(extra = {}) {
    const status = Weave.Status;
    const engines = {};
    for (const [name, code] of Object.entries(status.engines || {})) {
      engines[name] = String(code);
    }
    const events = H.events.splice(0);
    return {
      service: status.service,
      sync: status.sync,
      login: status.login,
      engines,
      failed: events.filter(e => e.topic.endsWith(":error")),
      counts: events.filter(e => /:sync:(applied|uploaded)$/.test(e.topic)),
      ...extra,
    };
  },

  ended(since = 0) {
    return H.events.slice(since).find(e =>
      ["weave:service:sync:finish", "weave:service:sync:error", "weave:service:login:error"].includes(e.topic)
    );
  },

  // Signs in as the FxA pages would have it done, then turns Sync on, and
  // waits for the first sync, which Firefox starts by itself.
  async signIn(credentials, name) {
    Services.prefs.setStringPref("identity.fxaccounts.account.device.name", name);
    await fxAccounts._internal.setSignedInUser(credentials);
    Services.prefs.setStringPref("identity.fxaccounts.account.device.name", name);
    await fxAccounts.device.refreshDeviceList({ ignoreCached: true });
    H.events.length = 0;
    const start = Date.now();
    await Weave.Service.configure();
    while (!H.ended()) {
      await sleep(20);
    }
    const ms = Date.now() - start;
    return H.result({ ms });
  },

  async sync(engines) {
    while (Weave.Service.locked) {
      await sleep(50);
    }
    H.events.length = 0;
    const start = Date.now();
    await Weave.Service.sync({ why: "harness", engines });
    if (!H.ended()) {
      throw new Error("sync did not run: " + JSON.stringify(H.events));
    }
    return H.result({ ms: Date.now() - start });
  },

  engine: name => Weave.Service.engineManager.get(name),

  async waitSync(what, timeout) {
    const until = Date.now() + timeout;
    while (!H.ended()) {
      if (Date.now() > until) {
        throw new Error("no sync came: " + what);
      }
      await sleep(50);
    }
    return H.result();
  },

  // What a push message from FxA would have it do when a device is added.
  deviceListChanged: () => fxAccounts.device.refreshDeviceList({ ignoreCached: true }),

  clientId: name => Weave.Service.clientsEngine.remoteClients.find(c => c.name == name)?.id,

  sendCommand: (...args) => Weave.Service.clientsEngine.sendCommand(...args),

  // Firefox's own comparison of what the server has with what it has itself.
  async validate() {
    H.events.length = 0;
    const engines = {};
    for (const engine of Weave.Service.engineManager.getEnabled()) {
      if (engine.getValidator()) {
        engines[engine.name] = { engine, maxRecords: 1000 };
      }
    }
    await Doctor._runValidators(engines);
    return { engines: Object.keys(engines), events: H.events.splice(0) };
  },

  // What the "sign out" button does.
  signOut: () => SyncDisconnect.disconnect(false),

  // Starts a sync that stops just before `engine` uploads, and one that goes on.
  async holdUpload(name) {
    const engine = H.engine(name);
    const upload = engine._uploadOutgoing;
    const gate = Promise.withResolvers();
    const reached = Promise.withResolvers();
    engine._uploadOutgoing = async function () {
      delete engine._uploadOutgoing;
      reached.resolve();
      await gate.promise;
      return upload.call(engine);
    };
    H.letGo = gate.resolve;
    H.held = H.sync();
    await Promise.race([reached.promise, H.held]);
    return true;
  },
  async release() {
    H.letGo();
    return H.held;
  },

  // The end of the newest log that about:sync-log lists, and of the newest that
  // tells of an error; without the TRACE lines.
  async logTail(chars) {
    const dir = PathUtils.join(PathUtils.profileDir, "weave", "logs");
    const files = await IOUtils.getChildren(dir).catch(() => []);
    const logs = await Promise.all(
      files.map(async path => ({ path, time: (await IOUtils.stat(path)).lastModified }))
    );
    logs.sort((a, b) => b.time - a.time);
    const pick = new Set([logs[0], logs.find(l => PathUtils.filename(l.path).startsWith("error-"))]);
    let out = "";
    for (const log of pick) {
      if (log) {
        const lines = (await IOUtils.readUTF8(log.path)).split("\n").filter(l => !l.includes("\tTRACE\t"));
        out += PathUtils.filename(log.path) + ":\n" + lines.join("\n").slice(-chars) + "\n";
      }
    }
    return out || "(no sync logs)\n";
  },

  clients: () => Weave.Service.clientsEngine.remoteClients.map(c => c.name).sort(),

  collections: async () => (await Weave.Service._fetchInfo()).obj,

  config: () => Weave.Service.serverConfiguration,

  endpoint: () => Weave.Service.clusterURL,
};
return true;
