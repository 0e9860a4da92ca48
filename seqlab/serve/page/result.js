// A result: its sound, picture or ink, words that light up, other readings, downloads.
import { api } from "./api.js";

const SVG = "http://www.w3.org/2000/svg";

function make(name, properties = {}, ...children) {
  const node = document.createElement(name);
  Object.assign(node, properties);
  node.append(...children);
  return node;
}

const percent = (share) => `${Math.round(share * 100)} %`;

export function addResult(transcript, model, { file, strokes, name, error }) {
  document.getElementById("none").hidden = true;
  const article = make("article", {}, make("h3", { textContent: name }));
  article.tabIndex = -1;
  document.getElementById("results").prepend(article);
  if (error) {
    article.append(make("p", { className: "bad", textContent: error }));
    return;
  }
  const place = medium(article, transcript, model, file, strokes);
  const words = transcript.words.map((word) => shown(word, transcript.unit));
  const line = make("p", { className: "words", dir: "auto" });
  words.forEach((word, i) => line.append(i ? " " : "", word));
  if (!words.length) line.append(transcript.text || make("span", { className: "quiet", textContent: "Nothing was read." }));
  article.append(line);
  follow(words, transcript.words, place);
  const sure = transcript.confidence;
  const unit = { s: " s", px: " pixels", points: " points", frames: " frames" }[transcript.unit];
  const told = [`model ${model.name}`];
  if (sure !== null && sure !== undefined) told.push(`${percent(sure)} sure`);
  if (transcript.duration !== null) told.push(`${Number(transcript.duration.toFixed(2))}${unit}`);
  article.append(make("p", { className: "quiet", textContent: told.join(" · ") }));
  others(article, transcript);
  downloads(article, transcript, model, name);
}

function shown(word, unit) {
  const button = make("button", { type: "button", textContent: word.text });
  const sure = word.confidence ?? 1;
  const at = unit === "s" ? `, at ${word.start.toFixed(2)} seconds` : "";
  const rivals = (word.alternatives ?? []).map((other) => other.text || "nothing");
  button.title = `${percent(sure)} sure${at}${rivals.length ? `; or: ${rivals.join(", ")}` : ""}`;
  button.setAttribute("aria-label", `${word.text}, ${button.title}`);
  button.style.borderBottomColor = `color-mix(in srgb, var(--unsure) ${Math.round((1 - sure) * 100)}%, transparent)`;
  button.classList.toggle("unsure", sure < 0.5);
  return button;
}

// Show what was read; returns {audio} or {mark(start, end)}.
function medium(article, transcript, model, file, strokes) {
  if (file && model.kind === "audio") {
    const audio = make("audio", { controls: true, src: URL.createObjectURL(file) });
    audio.setAttribute("aria-label", "The recording");
    article.append(audio);
    return { audio };
  }
  if (file && model.kind === "image") {
    const picture = make("div", { className: "picture" }, make("img", { src: URL.createObjectURL(file), alt: "The line" }));
    picture.firstChild.addEventListener("error", () => picture.remove()); // TIFF, which browsers do not show
    const box = make("mark", { hidden: true });
    picture.append(box);
    article.append(picture);
    return {
      mark: (start, end) => {
        box.hidden = start === undefined;
        box.style.left = `${(100 * start) / transcript.duration}%`;
        box.style.width = `${(100 * (end - start)) / transcript.duration}%`;
      },
    };
  }
  if (strokes) {
    const points = strokes.flat();
    const [xs, ys] = [0, 1].map((axis) => points.map((point) => point[axis]));
    const [left, top] = [Math.min(...xs) - 8, Math.min(...ys) - 8];
    const svg = document.createElementNS(SVG, "svg");
    const [width, height] = [Math.max(...xs) - left + 8, Math.max(...ys) - top + 8];
    svg.setAttribute("viewBox", `${left} ${top} ${width} ${height}`);
    svg.setAttribute("width", Math.min(width, 480));
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", "The writing");
    const lines = strokes.map((stroke) => {
      const line = document.createElementNS(SVG, "polyline");
      line.setAttribute("points", stroke.map(([x, y]) => `${x},${y}`).join(" "));
      line.setAttribute("fill", "none");
      line.setAttribute("stroke", "#1b1f24");
      line.setAttribute("stroke-width", "4");
      line.setAttribute("stroke-linecap", "round");
      svg.append(line);
      return line;
    });
    article.append(make("div", { className: "picture" }, svg));
    const firsts = strokes.map((_, i) => strokes.slice(0, i).reduce((sum, stroke) => sum + stroke.length, 0));
    return {
      mark: (start, end) =>
        lines.forEach((line, i) => {
          const inside = firsts[i] < end && firsts[i] + strokes[i].length > start;
          line.setAttribute("stroke", inside ? "#b35900" : "#1b1f24");
        }),
    };
  }
  return {};
}

// Light words up while the sound plays; a word pressed plays from there, or shows its place.
function follow(buttons, words, { audio, mark }) {
  buttons.forEach((button, i) => {
    if (audio) {
      button.addEventListener("click", () => {
        audio.currentTime = words[i].start;
        audio.play();
      });
    } else if (mark) {
      const show = () => mark(words[i].start, words[i].end);
      for (const name of ["focus", "pointerenter", "click"]) button.addEventListener(name, show);
      for (const name of ["blur", "pointerleave"]) button.addEventListener(name, () => mark());
    }
  });
  if (!audio) return;
  const light = () => {
    const now = audio.currentTime;
    const any = now > 0 && !audio.ended;
    buttons.forEach((button, i) => button.classList.toggle("now", any && words[i].start <= now && now < words[i].end));
  };
  const frame = () => {
    light();
    if (!audio.paused && !audio.ended) requestAnimationFrame(frame);
  };
  audio.addEventListener("play", frame);
  for (const name of ["seeked", "pause", "ended"]) audio.addEventListener(name, light);
}

function others(article, transcript) {
  const readings = transcript.alternatives ?? [];
  if (!readings.length) return;
  const rows = readings.map((other) =>
    make("tr", {}, make("td", { textContent: percent(other.confidence) }), make("th", { scope: "row", textContent: other.text || "(nothing)" })),
  );
  const head = make("summary", { textContent: `Other readings: ${readings.length}` });
  article.append(make("details", {}, head, make("table", {}, ...rows)));
}

function downloads(article, transcript, model, name) {
  const stem = name.replace(/\.[^.]*$/, "") || "transcript";
  const problem = make("p", { className: "bad" });
  const items = model.formats.map((format) => {
    const button = make("button", { type: "button", textContent: format });
    button.setAttribute("aria-label", `Download as ${format}`);
    button.addEventListener("click", async () => {
      problem.textContent = "";
      try {
        const headers = { "content-type": "application/json" };
        const answer = await api(`v1/convert?format=${format}`, { method: "POST", headers, body: JSON.stringify(transcript) });
        if (!answer.ok) throw new Error(JSON.stringify((await answer.json()).detail));
        const suffix = { textgrid: "TextGrid" }[format] ?? format;
        const link = make("a", { href: URL.createObjectURL(await answer.blob()), download: `${stem}.${suffix}` });
        link.click();
        setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
      } catch (error) {
        problem.textContent = `No download: ${error.message}`;
      }
    });
    return make("li", {}, button);
  });
  article.append(make("ul", { className: "downloads", ariaLabel: "Downloads" }, ...items), problem);
}
