// The writing area: strokes are read anew whenever the pen goes up.
const STEP = 4; // pixels that an arrow key moves
const BIG = 20;

export class Pad {
  constructor(canvas, { open, partial, failed, active }) {
    Object.assign(this, { canvas, open, partial, failed, active });
    this.context = canvas.getContext("2d");
    this.strokes = [];
    this.cursor = { x: 60, y: 60 };
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      canvas.setPointerCapture(event.pointerId);
      this.#down(this.#place(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!this.stroke || this.keyed) return;
      const all = event.getCoalescedEvents?.() ?? [];
      for (const one of all.length ? all : [event]) this.#move(this.#place(one));
    });
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, () => this.stroke && !this.keyed && this.#up());
    }
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("blur", () => this.keyed && this.#up());
    for (const name of ["focus", "blur"]) canvas.addEventListener(name, () => this.#draw());
    this.#draw();
  }

  #place(event) {
    const box = this.canvas.getBoundingClientRect();
    const scale = this.canvas.width / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  }

  #now() {
    this.origin ??= performance.now();
    return (performance.now() - this.origin) / 1000;
  }

  #down(point) {
    this.stroke = [[...point, this.#now()]];
    this.#draw();
  }

  #move(point) {
    this.stroke.push([...point, this.#now()]);
    this.#draw();
  }

  #up() {
    this.strokes.push(this.stroke);
    this.stroke = null;
    this.keyed = false;
    this.#draw();
    if (this.stream && !this.stream.closed) this.#send([this.strokes.at(-1)]);
    else this.#again();
  }

  #key(event) {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (way) {
      const step = event.shiftKey ? BIG : STEP;
      const { width, height } = this.canvas;
      this.cursor.x = Math.max(0, Math.min(width, this.cursor.x + way[0] * step));
      this.cursor.y = Math.max(0, Math.min(height, this.cursor.y + way[1] * step));
      if (this.keyed) this.#move([this.cursor.x, this.cursor.y]);
      this.#draw();
    } else if (event.key === " ") {
      if (this.keyed) {
        this.#up();
      } else if (!this.stroke) {
        this.keyed = true;
        this.#down([this.cursor.x, this.cursor.y]);
      }
    } else if (event.key === "Backspace") {
      this.undo();
    } else {
      return;
    }
    event.preventDefault();
  }

  #draw() {
    const { context, canvas } = this;
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.strokeStyle = "#1b1f24";
    context.lineWidth = 4;
    context.lineCap = context.lineJoin = "round";
    for (const stroke of this.stroke ? [...this.strokes, this.stroke] : this.strokes) {
      context.beginPath();
      stroke.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
      if (stroke.length === 1) context.lineTo(stroke[0][0] + 0.1, stroke[0][1]);
      context.stroke();
    }
    if (canvas.matches(":focus-visible")) {
      context.strokeStyle = this.keyed ? "#b42318" : "#0a58ca";
      context.lineWidth = 2;
      context.beginPath();
      context.arc(this.cursor.x, this.cursor.y, 6, 0, 7);
      context.stroke();
    }
  }

  // Begin a new line on the server.
  begin() {
    this.stream?.socket.close();
    this.stream = null;
    this.partial({ text: "", stable: "" });
    if (this.strokes.length && this.active()) this.#again();
  }

  #again() {
    const stream = this.open();
    this.stream = stream;
    stream.partial = (partial) => stream === this.stream && this.partial(partial);
    // a stream that was silent for long is closed by the server; the next stroke opens another
    stream.failed = (told) => stream === this.stream && !told.startsWith("nothing came") && this.failed(told);
    this.#send(this.strokes);
  }

  #send(strokes) {
    const { stream } = this;
    const send = () => stream.send(JSON.stringify({ type: "strokes", strokes }));
    stream.ready.then(send, () => {}); // a failure is told once, by stream.failed
  }

  undo() {
    this.strokes.pop();
    this.#draw();
    this.begin();
  }

  clear() {
    this.strokes = [];
    this.stroke = null;
    this.origin = undefined;
    this.#draw();
    this.begin();
  }

  // Return the transcript of what is written, or nothing.
  async finish() {
    if (!this.strokes.length) return null;
    if (!this.stream || this.stream.closed) this.#again();
    try {
      await this.stream.ready;
      return await this.stream.finish();
    } catch (error) {
      this.failed(error.message);
      return null;
    }
  }
}
