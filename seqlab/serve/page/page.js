// The page: models, files, results. Sound and ink are in files of their own.
import { Recorder } from "./sound.js";
import { Pad } from "./ink.js";
import { addResult } from "./result.js";
import { api, connect, setToken } from "./api.js";

const element = (id) => document.getElementById(id);
let models = [];
let suffixes = {};

function say(text, bad = false) {
  element("status").textContent = text;
  element("status").classList.toggle("bad", bad);
}

const chosen = () => models.find((model) => model.name === element("model").value);

function show() {
  const { kind, decoder, parameters, streams } = chosen();
  const size = parameters >= 1e6 ? `${(parameters / 1e6).toFixed(1)} million` : `${Math.round(parameters / 1e3)} thousand`;
  const reads = { audio: "recordings", image: "line images", strokes: "pen strokes", features: "arrays" }[kind];
  element("about").textContent = `reads ${reads}; ${size} parameters; decoder: ${decoder}`;
  element("drop").hidden = false;
  element("speak").hidden = kind !== "audio";
  element("write").hidden = kind !== "strokes";
  element("files").accept = suffixes[kind].join(",");
  element("hint").textContent = suffixes[kind].join(" ");
  const able = window.isSecureContext && navigator.mediaDevices;
  element("record").disabled = !able;
  element("speaking").textContent = able ? "" : "The microphone needs https, or the address localhost.";
  if (able && kind === "audio" && !streams) {
    element("clock").textContent = "This model reads when you have stopped.";
  }
  pad.begin();
}

async function load() {
  const answer = await api("v1/models");
  if (answer.status === 401) {
    element("secret").hidden = false;
    element("secret").querySelector("[type=password]").focus();
    say("This server asks for a token.");
    return;
  }
  if (!answer.ok) throw new Error((await answer.json()).detail);
  element("secret").hidden = true;
  ({ models, suffixes } = await answer.json());
  element("model").replaceChildren(...models.map((model) => new Option(model.name)));
  say("");
  show();
}

// The first model that reads a file, the chosen one before others.
function reader(name) {
  const ending = name.toLowerCase().match(/\.[^.]+$/)?.[0] ?? "";
  const kind = Object.keys(suffixes).find((key) => suffixes[key].includes(ending));
  const now = chosen();
  return !kind || now.kind === kind ? now : (models.find((model) => model.kind === kind) ?? now);
}

async function take(files) {
  let failed = 0;
  for (const [number, file] of [...files].entries()) {
    const model = reader(file.name);
    say(`Reading ${number + 1} of ${files.length}: ${file.name}`);
    const form = new FormData();
    form.append("file", file);
    try {
      const answer = await api(`v1/transcribe?model=${encodeURIComponent(model.name)}`, { method: "POST", body: form });
      const told = await answer.json();
      if (!answer.ok) throw new Error(typeof told.detail === "string" ? told.detail : "the file was not understood");
      addResult(told, model, { file, name: file.name });
    } catch (error) {
      failed += 1;
      addResult(null, model, { name: file.name, error: error.message });
    }
  }
  say(failed ? `${failed} of ${files.length} could not be read.` : files.length > 1 ? `${files.length} files read.` : "Read.", failed > 0);
}

const live = (place) => (partial) => {
  const stable = document.createElement("span");
  const tail = document.createElement("span");
  stable.textContent = partial.stable;
  tail.textContent = partial.text.slice(partial.stable.length);
  tail.className = "tail";
  element(place).replaceChildren(stable, tail);
};

const pad = new Pad(element("ink"), {
  open: () => connect({ model: chosen().name }),
  partial: live("writing"),
  failed: (message) => say(message, true),
  active: () => models.length > 0 && chosen().kind === "strokes",
});
element("undo").addEventListener("click", () => pad.undo());
element("clear").addEventListener("click", () => pad.clear());
element("keep").addEventListener("click", async () => {
  const transcript = await pad.finish();
  if (transcript) addResult(transcript, chosen(), { strokes: pad.strokes, name: "writing" });
  pad.clear();
});

const recorder = new Recorder({
  open: (rate) => connect({ model: chosen().name, sample_rate: rate, encoding: "float32" }),
  partial: live("speaking"),
  level: (value, seconds) => {
    element("level").value = Math.min(1, value * 3);
    element("clock").textContent = `${seconds.toFixed(1)} s`;
  },
});
element("record").addEventListener("click", async () => {
  const button = element("record");
  button.disabled = true;
  try {
    if (recorder.running) {
      say("Reading the recording");
      const { transcript, file } = await recorder.stop();
      addResult(transcript, recorder.model, { file, name: "recording" });
      say("Read.");
    } else {
      recorder.model = chosen();
      await recorder.start();
      say("Recording. Press the button again to stop.");
    }
  } catch (error) {
    recorder.close();
    say(error.name === "NotAllowedError" ? "The browser did not allow the microphone." : error.message, true);
  }
  button.disabled = false;
  button.setAttribute("aria-pressed", recorder.running);
  button.textContent = recorder.running ? "Stop" : "Record";
  button.focus();
});

element("model").addEventListener("change", show);
element("files").addEventListener("change", async (event) => {
  const files = [...event.target.files];
  event.target.value = "";
  await take(files);
});
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    document.body.classList.toggle("over", name === "dragover");
    if (name === "drop" && event.dataTransfer.files.length && models.length) take(event.dataTransfer.files);
  });
}
element("secret").addEventListener("submit", (event) => {
  event.preventDefault();
  setToken(element("secret").querySelector("[type=password]").value);
  start();
});

const start = () => load().catch((error) => say(`The server does not answer: ${error.message}`, true));
start();
