// The companion: carries capsules between capOS and a provider at which its user is signed in.
//
// Owns the provider's token, for as long as the page is open. Invariant: the token goes to the provider alone and a capsule is
// never looked into; nothing is kept by the browser; what capOS refuses is shown and not tried again.

/** The only access to Drive that is used: files of this application, in a folder of its own. */
const DRIVE_SCOPE = "https://www.googleapis.com/auth/drive.appdata";
/** No capsule is longer (docs/save-format.md). */
const MAX_CAPSULE = 12544;
/** More files than this are not of capOS. */
const MAX_FILES = 1000;
const HANDLE = /^[0-9a-f]{32}$/;
/** What a user may be called in a path: one segment, which leads nowhere else. */
const UID = /^[A-Za-z0-9_-]{1,128}$/;

/** Why something was not done; its name is what is shown. */
class Trouble extends Error {
  constructor(name, detail) {
    super(detail === undefined ? name : `${name}: ${detail}`);
    this.name = name;
  }
}

const isHandle = (name) => typeof name === "string" && HANDLE.test(name);

/** A capsule as the provider takes it, if it may go there. */
function outgoing(one) {
  if (!isHandle(one.handle)) throw new Trouble("NotOpaque");
  const bytes = Uint8Array.from(atob(one.capsule), (char) => char.charCodeAt(0));
  if (bytes.length > MAX_CAPSULE) throw new Trouble("TooLong");
  return { handle: one.handle, bytes };
}

/** A file of the provider as capOS takes it, if its name says nothing. */
function incoming(name, bytes) {
  if (!isHandle(name)) throw new Trouble("NotOpaque");
  if (bytes.length > MAX_CAPSULE) throw new Trouble("TooLong");
  return { handle: name, capsule: btoa(String.fromCharCode(...bytes)) };
}

/** Asks, and gives what was answered if it was done. Nothing is sent but what stands here: no cookie, no referrer. */
async function ask(url, options = {}, unknown = "OtherUser") {
  let answer;
  try {
    answer = await fetch(url, { credentials: "omit", cache: "no-store", redirect: "error", ...options });
  } catch {
    throw new Trouble("NoNetwork");
  }
  if (answer.status === 401 || answer.status === 403) throw new Trouble(unknown);
  if (!answer.ok) throw new Trouble("Refused", answer.status);
  return answer;
}

/** What providers have in common: the session's token, and pages. */
class Provider {
  constructor(base, session) {
    this.base = base;
    this.session = session;
  }
  ask(path, options = {}) {
    const headers = { ...options.headers, authorization: `Bearer ${this.session.token}` };
    return ask(this.base + path, { ...options, headers });
  }
  async pages(path, items) {
    const all = [];
    let token = "";
    do {
      const more = token && `&pageToken=${encodeURIComponent(token)}`;
      const page = await (await this.ask(`${path}${more}`)).json();
      all.push(...(page[items] ?? []));
      token = page.nextPageToken ?? "";
      if (all.length > MAX_FILES) throw new Trouble("TooMany");
    } while (token);
    return all;
  }
}

/** Google Drive, v3: the application's own folder. */
class Drive extends Provider {
  constructor(base, session) {
    if (session.scope !== DRIVE_SCOPE) throw new Trouble("OtherScope");
    super(base, session);
  }
  async list() {
    const files = await this.pages("/drive/v3/files?spaces=appDataFolder&pageSize=100&fields=nextPageToken,files(id,name)", "files");
    const capsules = [];
    for (const { id, name } of files) {
      const media = await this.ask(`/drive/v3/files/${encodeURIComponent(id)}?alt=media`);
      capsules.push(incoming(name, new Uint8Array(await media.arrayBuffer())));
    }
    return capsules;
  }
  async put({ handle, bytes }) {
    const edge = "capsule";
    const about = JSON.stringify({ name: handle, parents: ["appDataFolder"] });
    const body = new Blob([
      `--${edge}\r\ncontent-type: application/json\r\n\r\n${about}\r\n--${edge}\r\ncontent-type: application/octet-stream\r\n\r\n`,
      bytes,
      `\r\n--${edge}--\r\n`,
    ]);
    const headers = { "content-type": `multipart/related; boundary=${edge}` };
    await this.ask("/upload/drive/v3/files?uploadType=multipart", { method: "POST", headers, body });
  }
}

/** Firestore: a document for each capsule, below the user that the rules let through. */
class Firebase extends Provider {
  constructor(base, session, project) {
    if (!UID.test(session.uid)) throw new Trouble("OtherUser");
    super(base, session);
    this.path = `/v1/projects/${encodeURIComponent(project)}/databases/(default)/documents/users/${session.uid}/saves`;
  }
  async list() {
    const documents = await this.pages(`${this.path}?pageSize=100`, "documents");
    return documents.map(({ name, fields }) => {
      const bytes = Uint8Array.from(atob(fields?.capsule?.bytesValue ?? ""), (char) => char.charCodeAt(0));
      return incoming(name.split("/").pop(), bytes);
    });
  }
  async put({ handle, bytes }) {
    const capsule = { bytesValue: btoa(String.fromCharCode(...bytes)) };
    const headers = { "content-type": "application/json" };
    const body = JSON.stringify({ fields: { capsule } });
    await this.ask(`${this.path}/${handle}`, { method: "PATCH", headers, body });
  }
}

/** capOS: what it has sealed, and what it makes of capsules. It is never told who is signed in, or with what. */
class Desk {
  constructor(base, key) {
    this.base = base;
    this.headers = { "x-csrf-token": key };
  }
  ask(path, options = {}) {
    return ask(this.base + path, { ...options, headers: this.headers }, "OtherKey");
  }
  async sealed() {
    return (await this.ask("/v1/sealed")).json();
  }
  async sent(handle) {
    await this.ask("/v1/sent", { method: "POST", body: JSON.stringify({ handle }) });
  }
  /** A line for each capsule, so that capOS need not hold all of them at once. */
  async offer(capsules) {
    const body = capsules.map((capsule) => JSON.stringify(capsule)).join("\n");
    return (await this.ask("/v1/offered", { method: "POST", body })).json();
  }
}

function show(text) {
  document.getElementById("state").textContent = text;
  const line = document.createElement("li");
  line.textContent = text;
  document.getElementById("log").append(line);
}

/** Does something and shows how it ended. */
async function shown(work) {
  try {
    show(await work());
  } catch (trouble) {
    show(trouble instanceof Trouble ? trouble.message : "Failed");
  }
}

async function send(desk, provider) {
  const sealed = await desk.sealed();
  for (const one of sealed) {
    const capsule = outgoing(one);
    await provider.put(capsule);
    await desk.sent(capsule.handle);
  }
  return `sent ${sealed.length}`;
}

async function restore(desk, provider) {
  const said = await desk.offer(await provider.list());
  return said.restored === undefined ? `capOS refuses: ${said.refused}` : `restored save ${said.restored}`;
}

/** Where everything is stands behind the `#`, which no server is sent; no token of a provider does. It is taken out of the address. */
async function begin() {
  const told = new URLSearchParams(location.hash.slice(1));
  history.replaceState(null, "", location.pathname);
  if (!told.has("signin")) throw new Trouble("NotTold", "open the address that capOS says, with where you are signed in");
  const session = await (await ask(told.get("signin"))).json();
  const base = told.get("base");
  const provider = told.get("provider") === "drive" ? new Drive(base, session) : new Firebase(base, session, told.get("project"));
  const desk = new Desk(told.get("desk") ?? location.origin, told.get("key") ?? "");
  const works = { send: () => send(desk, provider), restore: () => restore(desk, provider) };
  for (const [id, work] of Object.entries(works)) {
    document.getElementById(id).addEventListener("click", () => shown(work));
  }
  // What is to be done at once, in its order.
  for (const id of (told.get("do") ?? "").split(",").filter((id) => id in works)) {
    await shown(works[id]);
  }
  return "ready";
}

await shown(begin);
