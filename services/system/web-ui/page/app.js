// The page of web-ui: shows the last state that arrived, and says when none arrives any more.
// It changes nothing but its own session, asks nobody but its own site, and puts text in as text.
"use strict";

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const TABS = ["graph", "processes", "devices", "storage", "log", "network"];
const SILENCE_MS = 5000;
const LINES = 400;

let token = "";
let events = null;
let state = null;
let arrived = 0;
let chosen = "";
let lines = [];
const places = new Map();

function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = String(text);
  if (kind) made.className = kind;
  return made;
}

function table(heads, rows) {
  const made = element("table");
  const head = element("tr");
  for (const [text, kind] of heads) {
    const cell = element("th", text, kind);
    cell.scope = "col";
    head.append(cell);
  }
  const top = element("thead");
  top.append(head);
  const body = element("tbody");
  for (const row of rows) {
    const line = element("tr");
    row.forEach((cell, at) => line.append(cell instanceof Node ? wrap(cell) : element("td", cell, heads[at][1])));
    body.append(line);
  }
  made.append(top, body);
  const scroll = element("div", undefined, "scroll");
  scroll.append(made);
  return scroll;
}

function wrap(node) {
  const cell = element("td");
  cell.append(node);
  return cell;
}

const bytes = (n) => n < 10240 ? n + " B" : n < 10485760 ? Math.round(n / 1024) + " KiB" : Math.round(n / 1048576) + " MiB";
const seconds = (ns) => (ns / 1e9).toFixed(1) + " s";
const nameOf = (id) => {
  const found = state.processes.find((p) => p.id === id);
  return id === 0 ? "the kernel" : found ? found.name + " (" + id + ")" : "process " + id;
};
const deviceOf = (address) => {
  const found = state.devices.find((d) => d.address === address);
  return found ? (found.driver || "device") + " at " + found.at : "device " + address;
};

// ---- Session

async function begin(ticket) {
  const answer = await fetch("/session", { method: "POST", body: ticket, headers: { "Content-Type": "text/plain" } });
  return answer.ok ? (await answer.json()).token : "";
}

async function known() {
  const answer = await fetch("/session");
  return answer.ok ? (await answer.json()).token : "";
}

function ask(why) {
  if (events) events.close();
  events = null;
  $("shown").hidden = true;
  $("leave").hidden = true;
  $("lost").hidden = true;
  $("enter").hidden = false;
  $("why").textContent = why || "";
  link("signed out", "");
  $("ticket").value = "";
  $("ticket").focus();
}

function enter(with_token) {
  token = with_token;
  $("enter").hidden = true;
  $("shown").hidden = false;
  $("leave").hidden = false;
  arrived = Date.now();
  listen();
}

async function start() {
  tabs();
  const ticket = location.hash.slice(1);
  if (ticket) history.replaceState(null, "", location.pathname);
  try {
    const got = (ticket.length === 64 && await begin(ticket)) || await known();
    if (got) enter(got);
    else ask(ticket ? "This ticket was used before, or is another system's." : "");
  } catch (error) {
    ask("The system did not answer.");
  }
}

$("enter").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    const ticket = $("ticket").value.trim().replace(/^.*#/, "");
    const got = await begin(ticket);
    if (got) enter(got);
    else ask("This is no ticket, or it was used before.");
  } catch (error) {
    ask("The system did not answer.");
  }
});

$("leave").addEventListener("click", async () => {
  await fetch("/session/end", { method: "POST", body: "", headers: { "X-CSRF-Token": token } }).catch(() => null);
  ask("");
});

// ---- What arrives

function link(text, kind) {
  $("link").textContent = text;
  $("link").className = "badge " + kind;
}

function listen() {
  if (events) events.close();
  events = new EventSource("/events");
  events.addEventListener("state", (event) => {
    arrived = Date.now();
    state = JSON.parse(event.data);
    lines = lines.concat(state.log.filter((line) => !lines.length || line.sequence > lines[lines.length - 1].sequence)).slice(-LINES);
    link("live", "on");
    $("lost").hidden = true;
    show();
  });
  events.addEventListener("over", () => ask("The session is over."));
}

setInterval(async () => {
  if (!events || Date.now() - arrived < SILENCE_MS) return;
  const age = Math.round((Date.now() - arrived) / 1000);
  link("connection lost", "off");
  $("lost").textContent = "The connection is lost. What is shown is " + age + " seconds old; it is being tried again.";
  $("lost").hidden = false;
  if (events.readyState !== EventSource.CLOSED) return;
  // The browser gave up: either the session is over, or the system is not there.
  try {
    const got = await known();
    if (got) { token = got; listen(); } else ask("The session is over, or the system was started anew.");
  } catch (error) {
    listen();
  }
}, 1000);

// ---- Tabs

function tabs() {
  for (const name of TABS) {
    const tab = element("button", name[0].toUpperCase() + name.slice(1));
    tab.id = "tab-" + name;
    tab.type = "button";
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", name);
    tab.addEventListener("click", () => turn(name));
    $("tabs").append(tab);
  }
  $("tabs").addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const now = TABS.findIndex((name) => "tab-" + name === document.activeElement.id);
    const to = event.key === "Home" ? 0 : event.key === "End" ? TABS.length - 1 : step && now >= 0 ? (now + step + TABS.length) % TABS.length : -1;
    if (to < 0) return;
    event.preventDefault();
    turn(TABS[to]);
    $("tab-" + TABS[to]).focus();
  });
  turn("graph");
}

function turn(to) {
  for (const name of TABS) {
    $(name).hidden = name !== to;
    $("tab-" + name).setAttribute("aria-selected", String(name === to));
    $("tab-" + name).tabIndex = name === to ? 0 : -1;
  }
  if (state) show();
}

function show() {
  $("summary").textContent = state.processes.length + " processes, " + state.held.length + " capabilities, up " + seconds(state.now_ns) +
    ", " + bytes(state.free_kib * 1024) + " of " + bytes(state.memory_kib * 1024) + " free" + (state.left_out ? ", " + state.left_out + " capabilities are left out" : "");
  const shown = TABS.find((name) => !$(name).hidden);
  ({ graph, processes, devices, storage, log, network })[shown]();
}

// ---- The graph

function model() {
  const nodes = new Map();
  for (const p of state.processes) nodes.set("p" + p.id, { key: "p" + p.id, text: p.name, kind: p.dying ? "process dying" : "process" });
  const claimed = new Set(state.held.filter((h) => h[5] === "claim" || h[5] === "device").map((h) => h[6]));
  for (const d of state.devices) if (d.driver || claimed.has(d.address)) nodes.set("d" + d.address, { key: "d" + d.address, text: d.driver || d.at, kind: "device" });
  const lent = new Map(), owned = new Map();
  for (const h of state.held) {
    const map = h[3] === "lent endpoint" ? lent : h[3] === "endpoint" ? owned : null;
    if (map) map.set(h[6], (map.get(h[6]) || []).concat(h[0]));
  }
  const edges = new Map();
  const add = (from, to, kind, what) => {
    const key = from + ">" + to;
    if (from === to || !nodes.has(from) || !nodes.has(to)) return;
    if (!edges.has(key)) edges.set(key, { from, to, kind, what: new Set() });
    edges.get(key).what.add(what);
  };
  for (const h of state.held) {
    if (h[4] !== "good") continue;
    if (h[3] === "facet") for (const server of lent.get(h[6]) || owned.get(h[6]) || []) add("p" + h[0], "p" + server, "calls", h[2]);
    if (h[5] === "claim" || h[5] === "device") add("p" + h[0], "d" + h[6], "device", h[2]);
  }
  return { nodes, edges };
}

// A few rounds of springs from where the nodes are: the same state comes to rest, and what is new finds its place.
function settle(nodes, edges, width, height) {
  let at = 0;
  for (const key of nodes.keys()) {
    if (!places.has(key)) {
      const turn = 2.4 * at, far = 30 + 16 * at;
      places.set(key, { x: width / 2 + far * Math.cos(turn), y: height / 2 + far * Math.sin(turn), fresh: true });
    }
    at += 1;
  }
  for (const key of [...places.keys()]) if (!nodes.has(key)) places.delete(key);
  const fresh = [...places.values()].some((p) => p.fresh);
  const keys = [...nodes.keys()], ideal = Math.sqrt(width * height / Math.max(1, keys.length)) * 0.7;
  for (let round = 0; round < (fresh ? 200 : 2); round += 1) {
    const heat = fresh ? 0.12 * (1 - round / 200) + 0.01 : 0.01;
    const force = new Map(keys.map((key) => [key, { x: 0, y: 0 }]));
    for (let a = 0; a < keys.length; a += 1) for (let b = a + 1; b < keys.length; b += 1) {
      const p = places.get(keys[a]), q = places.get(keys[b]);
      const dx = p.x - q.x || 0.5, dy = p.y - q.y || 0.5, d = Math.max(8, Math.hypot(dx, dy)), f = ideal * ideal / d / d;
      force.get(keys[a]).x += dx * f; force.get(keys[a]).y += dy * f;
      force.get(keys[b]).x -= dx * f; force.get(keys[b]).y -= dy * f;
    }
    for (const e of edges.values()) {
      const p = places.get(e.from), q = places.get(e.to), d = Math.hypot(p.x - q.x, p.y - q.y) / ideal;
      force.get(e.from).x -= (p.x - q.x) * d * 0.35; force.get(e.from).y -= (p.y - q.y) * d * 0.35;
      force.get(e.to).x += (p.x - q.x) * d * 0.35; force.get(e.to).y += (p.y - q.y) * d * 0.35;
    }
    for (const key of keys) {
      const p = places.get(key), f = force.get(key);
      f.x += (width / 2 - p.x) * 0.15; f.y += (height / 2 - p.y) * 0.15;
      p.x = Math.min(width - 44, Math.max(44, p.x + f.x * heat));
      p.y = Math.min(height - 30, Math.max(22, p.y + f.y * heat));
    }
  }
  for (const p of places.values()) p.fresh = false;
}

function lit() {
  const device = $("reach").value;
  if (device) {
    const found = state.devices.find((d) => "d" + d.address === device);
    return new Set([device].concat((found ? found.reach : []).map((r) => "p" + r[0])));
  }
  if (!chosen) return null;
  const set = new Set([chosen]);
  const process = state.processes.find((p) => "p" + p.id === chosen);
  for (const loss of process ? process.losses : []) {
    for (const id of loss.them) set.add("p" + id);
    if (loss.what === "process") set.add("p" + loss.subject);
    if (loss.what === "claim") set.add("d" + loss.subject);
  }
  return set;
}

function svg(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function options(select, list) {
  const before = select.value;
  const now = list.map((o) => o[0]).join();
  if (select.dataset.list === now) return;
  select.dataset.list = now;
  select.length = 1;
  for (const [value, text] of list) {
    const option = element("option", text);
    option.value = value;
    select.append(option);
  }
  select.value = list.some((o) => o[0] === before) ? before : "";
}

function graph() {
  const { nodes, edges } = model();
  const map = $("map"), width = Math.max(280, map.clientWidth), height = Math.max(280, map.clientHeight);
  map.setAttribute("viewBox", "0 0 " + width + " " + height);
  settle(nodes, edges, width, height);
  const devices = state.devices.filter((d) => nodes.has("d" + d.address));
  options($("pick"), [...nodes.values()].map((n) => [n.key, n.key[0] === "p" ? n.text + " (" + n.key.slice(1) + ")" : deviceOf(Number(n.key.slice(1)))]));
  options($("reach"), devices.map((d) => ["d" + d.address, deviceOf(d.address)]));
  if (chosen && !nodes.has(chosen)) chosen = "";
  $("pick").value = chosen;
  const set = lit();
  const focused = document.activeElement && document.activeElement.dataset ? document.activeElement.dataset.key : "";
  const made = [];
  for (const e of edges.values()) {
    const p = places.get(e.from), q = places.get(e.to), both = set && set.has(e.from) && set.has(e.to);
    const line = svg("line", { x1: p.x, y1: p.y, x2: q.x, y2: q.y, class: "edge " + e.kind + (both ? " lit" : "") });
    const title = svg("title", {});
    title.textContent = [...e.what].join(", ");
    line.append(title);
    made.push(line);
  }
  for (const n of nodes.values()) {
    const p = places.get(n.key), on = set && set.has(n.key);
    const group = svg("g", { class: "node " + n.kind + (on ? " lit" : set ? " dim" : ""), tabindex: 0, role: "button", transform: "translate(" + p.x + " " + p.y + ")" });
    group.dataset.key = n.key;
    group.setAttribute("aria-label", (n.key[0] === "p" ? "process " : "device ") + n.text);
    group.setAttribute("aria-pressed", String(chosen === n.key));
    group.append(n.key[0] === "p" ? svg("circle", { r: 13 }) : svg("rect", { x: -13, y: -11, width: 26, height: 22, rx: 3 }));
    const text = svg("text", { y: 27 });
    text.textContent = n.text;
    group.append(text);
    made.push(group);
  }
  map.replaceChildren(...made);
  if (focused) {
    const again = made.find((m) => m.dataset.key === focused);
    if (again) again.focus({ preventScroll: true });
  }
  details();
}

function choose(key) {
  chosen = chosen === key ? "" : key;
  $("reach").value = "";
  graph();
}

$("map").addEventListener("click", (event) => {
  const node = event.target.closest(".node");
  if (node) choose(node.dataset.key);
});
$("map").addEventListener("keydown", (event) => {
  const node = event.target.closest(".node");
  if (!node) return;
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    choose(node.dataset.key);
    return;
  }
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const all = [...$("map").querySelectorAll(".node")];
  all[(all.indexOf(node) + step + all.length) % all.length].focus();
});
$("pick").addEventListener("change", () => { chosen = $("pick").value; $("reach").value = ""; graph(); });
$("reach").addEventListener("change", () => { chosen = $("reach").value; graph(); });

function losses(process) {
  const list = element("ul");
  list.id = "losses";
  for (const loss of process.losses) {
    const them = loss.them.map(nameOf).join(", ");
    const text = {
      process: () => nameOf(loss.subject) + ", which it started.",
      claim: () => "The claim on " + deviceOf(loss.subject) + ": the device is stopped.",
      endpoint: () => "Endpoint " + loss.subject + ", for good" + (them ? ": calls of " + them + " are refused." : "."),
      server: () => "Who answers at endpoint " + loss.subject + (them ? ": " + them + " wait for a successor." : "."),
      memory: () => "Memory " + loss.subject + ", which nobody else holds.",
    }[loss.what]();
    list.append(element("li", text));
  }
  return process.losses.length ? list : element("p", "Nothing that anybody else would notice.", "soft");
}

function reached(device) {
  return table([["Process", ""], ["Calls between", "n"], ["Through", ""]],
    device.reach.map((r) => [nameOf(r[0]), r[1], r[1] ? nameOf(r[2]) : "a capability of its own"]));
}

function details() {
  const parts = [];
  const process = state.processes.find((p) => "p" + p.id === chosen);
  const device = state.devices.find((d) => "d" + d.address === chosen);
  if (process) {
    parts.push(element("h2", process.name + " (" + process.id + ")"));
    parts.push(element("p", "Started by " + nameOf(process.started_by) + ", priority " + process.priority + (process.restarts ? ", started anew " + process.restarts + " times" : "") + ".", "soft"));
    parts.push(element("h2", "What would end with it"), losses(process), element("h2", "What it holds"));
    const held = state.held.filter((h) => h[0] === process.id);
    parts.push(table([["Interface", ""], ["Kind", ""], ["Of", ""], ["", ""]], held.map((h) => [h[2] + " " + h[1], h[3], subject(h), h[4] === "good" ? "" : element("span", h[4], h[4])])));
  } else if (device) {
    parts.push(element("h2", deviceOf(device.address)));
    parts.push(element("p", "It is " + device.state + (device.owner ? ", claimed by " + nameOf(device.owner) : "") + ".", "soft"));
    parts.push(element("h2", "Who can reach it"));
    parts.push(device.reach.length ? reached(device) : element("p", "Nobody.", "soft"));
  } else {
    parts.push(element("p", "Choose a process to see what it holds and what would end with it, or a device to see who can reach it. Lines lead from who calls to who answers; dashed ones from a driver to its device.", "soft"));
  }
  const text = parts.map((p) => p.textContent).join("\n");
  if ($("details").dataset.text === text) return;
  $("details").dataset.text = text;
  $("details").replaceChildren(...parts);
}

const subject = (h) => ({
  endpoint: () => "endpoint " + h[6],
  claim: () => deviceOf(h[6]),
  device: () => deviceOf(h[6]),
  process: () => nameOf(h[6]),
  memory: () => bytes(h[7]) + ", pages " + h[6],
  itself: () => "",
}[h[5]]());

// ---- The tables

const use = (u, word) => word(u[0]) + " of " + word(u[2]);

function processes() {
  const plain = (n) => String(n);
  $("processes").replaceChildren(table(
    [["Process", ""], ["Started by", ""], ["Priority", "n"], ["CPU", "n"], ["Memory", "n"], ["Threads", "n"], ["Capabilities", "n"], ["Endpoints", "n"], ["Facets", "n"], ["Started anew", "n"]],
    state.processes.map((p) => [p.name + " (" + p.id + ")", nameOf(p.started_by), p.priority, seconds(p.cpu_ns), use(p.memory, bytes), use(p.threads, plain),
      state.held.filter((h) => h[0] === p.id).length, use(p.endpoints, plain), use(p.facets, plain), p.restarts])));
}

const hex = (n, digits) => n.toString(16).padStart(digits, "0");

function devices() {
  $("devices").replaceChildren(table(
    [["At", ""], ["Device", ""], ["Driver", ""], ["State", ""], ["Claimed by", ""], ["Resets", "n"], ["Pools", "n"], ["Queues", "n"], ["In flight", "n"], ["Reached by", ""]],
    state.devices.map((d) => [d.at, hex(d.vendor, 4) + ":" + hex(d.device, 4), d.driver, d.state, d.owner ? nameOf(d.owner) : "", d.resets, bytes(d.pool_bytes), d.queues, d.in_flight,
      d.reach.map((r) => nameOf(r[0])).join(", ")])));
}

// Mass storage is class 1 of PCI.
function storage() {
  const disks = state.devices.filter((d) => d.class >> 16 === 1);
  const served = state.held.filter((h) => h[3] === "facet" && ["BlockDevice", "Volume", "Directory", "File"].includes(h[2]));
  const parts = [element("h2", "Disks"), disks.length ? table(
    [["At", ""], ["Driver", ""], ["State", ""], ["Provider", ""], ["Queues", "n"], ["In flight", "n"], ["Reached by", ""]],
    disks.map((d) => [d.at, d.driver, d.state, d.owner ? nameOf(d.owner) : "", d.queues, d.in_flight, d.reach.map((r) => nameOf(r[0])).join(", ")])) : element("p", "None is plugged in.", "soft"),
  element("h2", "Who uses what of them"), table([["Process", ""], ["Interface", ""], ["Endpoint", "n"], ["", ""]], served.map((h) => [nameOf(h[0]), h[2], h[6], h[4]]))];
  $("storage").replaceChildren(...parts);
}

function log() {
  const list = element("ol");
  for (const line of lines.slice().reverse()) {
    list.append(element("li", seconds(line.ns) + "  " + line.source + "  " + line.line, line.level));
  }
  $("log").replaceChildren(list);
}

function network() {
  const n = state.network;
  if (!n) {
    $("network").replaceChildren(element("p", "There is no network, or it does not answer.", "soft"));
    return;
  }
  $("network").replaceChildren(
    table([["", ""], ["", ""]], [["Hardware address", n.mac], ["DHCP", n.phase], ["Address", n.address], ["From", n.server], ["All addresses", n.addresses.join(", ")],
      ["Routes", n.routes.map((r) => r[0] + " by " + (r[1] || "the link")).join(", ")], ["Name servers", n.servers.join(", ")], ["Frames in", n.received], ["Frames out", n.transmitted],
      ["Sockets", n.sockets], ["Interface opened", n.sessions]]),
    element("h2", "What was refused or not done"),
    table([["What", ""], ["Times", "n"]], n.counters),
    element("h2", "Requests that this page's server refused"),
    table([["Why", ""], ["Times", "n"]], state.refused));
}

start();
