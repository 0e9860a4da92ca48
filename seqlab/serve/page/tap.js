// An audio worklet that hands over the first channel in pieces of one size.
class Tap extends AudioWorkletProcessor {
  constructor({ processorOptions }) {
    super();
    this.size = processorOptions.size;
    this.piece = new Float32Array(this.size);
    this.filled = 0;
  }

  process([input]) {
    const samples = input[0] ?? [];
    for (const sample of samples) {
      this.piece[this.filled++] = sample;
      if (this.filled === this.size) {
        this.port.postMessage(this.piece);
        this.piece = new Float32Array(this.size);
        this.filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("tap", Tap);
