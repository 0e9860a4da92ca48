// The microphone: samples go to the server while one speaks, and stay here to be played.
const PIECE = 0.1; // seconds of a message

export class Recorder {
  constructor({ open, partial, level }) {
    Object.assign(this, { open, partial, level, running: false });
  }

  async start() {
    this.media = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } });
    this.context = new AudioContext();
    await this.context.audioWorklet.addModule("static/tap.js");
    await this.context.resume();
    this.pieces = [];
    this.waiting = [];
    this.seconds = 0;
    this.stream = this.open(this.context.sampleRate);
    this.stream.partial = this.partial;
    await this.stream.ready;
    const tap = new AudioWorkletNode(this.context, "tap", {
      numberOfOutputs: 0,
      processorOptions: { size: Math.round(PIECE * this.context.sampleRate) },
    });
    tap.port.onmessage = ({ data }) => this.#take(data);
    this.context.createMediaStreamSource(this.media).connect(tap);
    this.running = true;
  }

  #take(samples) {
    if (!this.running) return;
    this.pieces.push(samples);
    this.seconds += samples.length / this.context.sampleRate;
    this.level(Math.max(...samples.map(Math.abs)), this.seconds);
    this.stream.send(samples.buffer);
  }

  async stop() {
    this.running = false;
    const rate = this.context.sampleRate;
    this.#silence();
    const transcript = await this.stream.finish();
    return { transcript, file: wav(this.pieces, rate) };
  }

  close() {
    this.running = false;
    this.#silence();
    this.stream?.socket.close();
  }

  #silence() {
    this.media?.getTracks().forEach((track) => track.stop());
    if (this.context && this.context.state !== "closed") this.context.close();
    this.level(0, this.seconds ?? 0);
  }
}

// 16-bit WAV of float samples.
function wav(pieces, rate) {
  const count = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const view = new DataView(new ArrayBuffer(44 + 2 * count));
  const text = (at, letters) => [...letters].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * count, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, 2 * count, true);
  let at = 44;
  for (const piece of pieces) {
    for (const sample of piece) {
      view.setInt16(at, Math.max(-1, Math.min(1, sample)) * 32767, true);
      at += 2;
    }
  }
  return new Blob([view.buffer], { type: "audio/wav" });
}
