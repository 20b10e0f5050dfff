// The players of a page: several sounds in sync, by Web Audio.
//
// All tracks of a player are AudioBufferSourceNodes of one AudioContext that are started at one
// time; each goes through a gain node of its own (and a panner in remixes) to the master's. What
// plays is the state below: it is written to data-* attributes too, where style and tests read it.
"use strict";
(() => {
  const OFF_DB = -48; // the lowest place of a level's slider means silence
  const SEEK_S = 5;
  const RAMP_S = 0.01; // gains move within this time, or they would click
  const FLOOR_DB = -80; // of spectrograms, below the loudest point of the player

  let context = null; // one for the page, made at the first gesture, as browsers want it
  const players = [];
  const delays = new Map(); // promises of the codec's delay in seconds, by sample rate

  const bytesOf = (element) => {
    const text = atob(element.textContent);
    const bytes = new Uint8Array(text.length);
    for (let k = 0; k < text.length; k++) bytes[k] = text.charCodeAt(k);
    return bytes.buffer;
  };

  /** A context at a rate; a browser that does not have the rate resamples what is decoded. */
  const offlineAt = (rate, nChannels = 1, n = 1) => {
    try {
      return new OfflineAudioContext(nChannels, n, rate);
    } catch {
      return new OfflineAudioContext(nChannels, Math.round((n * 44100) / rate), 44100);
    }
  };

  const decode = (element, rate) => offlineAt(rate).decodeAudioData(bytesOf(element));

  /** By how many seconds decoders of this browser are late: a click, whose place is known, is found. */
  const delayAt = (rate, place) => {
    if (!delays.has(rate)) {
      const element = document.querySelector(`script.click[data-rate="${rate}"]`);
      delays.set(rate, decode(element, rate).then((buffer) => {
        const samples = buffer.getChannelData(0);
        let found = 0;
        for (let k = 1; k < samples.length; k++) {
          if (Math.abs(samples[k]) > Math.abs(samples[found])) found = k;
        }
        return Math.max(0, found / buffer.sampleRate - place / rate);
      }));
    }
    return delays.get(rate);
  };

  const amplitude = (db) => (db <= OFF_DB ? 0 : 10 ** (db / 20));
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

  class Player {
    constructor(element) {
      this.element = element;
      this.settings = JSON.parse(element.querySelector("script.settings").textContent);
      this.duration = this.settings.duration;
      this.isSwitch = this.settings.mode === "switch";
      this.place = 0; // where it plays, in seconds from the begin of the clip
      this.isPlaying = false;
      this.isLooping = false;
      this.region = null; // [from, to] in seconds of what is looped, or all
      this.masterDb = 0;
      this.view = "waveform";
      this.chosen = 0;
      this.buffers = null; // once decoded
      this.sources = [];
      this.tracks = [...element.querySelectorAll(".lane")].map((lane, k) => ({
        lane,
        ...this.settings.tracks[k],
        db: Number(lane.querySelector(".level").value),
        pan: 0,
        isMuted: false,
        isSolo: false,
        canvas: lane.querySelector("canvas"),
      }));
      this.find = (selector) => element.querySelector(selector);
      this.listen();
      this.showState();
      new ResizeObserver(() => this.draw()).observe(this.find(".lanes"));
    }

    // ---- state ------------------------------------------------------------------------------

    /** The gain of a track as it is heard, without the master's. */
    gainOf(track) {
      if (this.isSwitch) return this.tracks.indexOf(track) === this.chosen ? amplitude(track.db) : 0;
      const isSoloed = this.tracks.some((other) => other.isSolo);
      return (isSoloed ? track.isSolo : !track.isMuted) ? amplitude(track.db) : 0;
    }

    /** What is played again and again, or would be, in seconds. */
    get bounds() {
      return this.region || [0, this.duration];
    }

    /** Where the sound is now, in seconds from the begin of the clip. */
    now() {
      if (!this.isPlaying) return this.place;
      const place = this.place + Math.max(0, context.currentTime - this.startedAt);
      const [from, to] = this.bounds;
      if (!this.isLooping || place < to) return Math.min(place, this.duration);
      return this.place > to ? Math.min(place, this.duration) : from + ((place - from) % (to - from));
    }

    showState() {
      const { dataset } = this.element;
      dataset.playing = this.isPlaying;
      dataset.looping = this.isLooping;
      dataset.view = this.view;
      dataset.region = this.region ? this.region.map((s) => s.toFixed(3)).join(" ") : "";
      this.find(".play").setAttribute("aria-label", this.isPlaying ? "Pause" : "Play");
      this.find(".play path").setAttribute(
        "d", this.isPlaying ? "M3.5 2.5h3.2v11H3.5zM9.3 2.5h3.2v11H9.3z" : "M4 2.5v11l9-5.5z");
      this.find(".loop").setAttribute("aria-pressed", this.isLooping);
      this.find(`.views input[value="${this.view}"]`).checked = true;
      for (const track of this.tracks) {
        const gain = this.gainOf(track);
        track.lane.dataset.gain = gain.toFixed(4);
        track.lane.dataset.audible = gain > 0;
        track.lane.querySelector(".mute")?.setAttribute("aria-pressed", track.isMuted);
        track.lane.querySelector(".solo")?.setAttribute("aria-pressed", track.isSolo);
        const choice = track.lane.querySelector(".choose");
        if (choice) choice.checked = this.tracks[this.chosen] === track;
      }
      const [from, to] = this.region || [0, 0];
      this.element.style.setProperty("--from", from / this.duration);
      this.element.style.setProperty("--to", to / this.duration);
      this.showPlace();
    }

    showPlace() {
      const place = this.now();
      const clock = (s) => `${Math.floor(s / 60)}:${(s % 60).toFixed(1).padStart(4, "0")}`;
      const { start } = this.settings;
      const text = `${clock(start + place)} / ${clock(start + this.duration)}`;
      if (this.find(".clock").textContent !== text) this.find(".clock").textContent = text;
      this.element.dataset.place = place.toFixed(3);
      this.element.style.setProperty("--place", place / this.duration);
      const seek = this.find(".seek");
      seek.value = place / this.duration;
      seek.setAttribute("aria-valuetext", `${(start + place).toFixed(1)} seconds`);
    }

    // ---- sound ------------------------------------------------------------------------------

    /** Decode all tracks, once. */
    load() {
      this.loading ||= (async () => {
        this.element.setAttribute("aria-busy", "true");
        const scripts = [...this.element.querySelectorAll("script.mp3")];
        try {
          this.buffers = await Promise.all(scripts.map(async (script, k) => {
            const { rate } = this.tracks[k];
            const [buffer, delay] = await Promise.all(
              [decode(script, rate), delayAt(rate, this.settings.click)]);
            this.tracks[k].delay = delay;
            return buffer;
          }));
          this.find(".state").textContent = "";
        } catch (error) {
          this.find(".state").textContent = `The sound cannot be decoded here: ${error.message}`;
          throw error;
        } finally {
          this.element.removeAttribute("aria-busy");
        }
      })();
      return this.loading;
    }

    /** Build the graph of the mix as it is set, in a context; sources are not started. */
    graph(audio) {
      const master = new GainNode(audio, { gain: amplitude(this.masterDb) });
      master.connect(audio.destination);
      const lines = this.tracks.map((track, k) => {
        const source = new AudioBufferSourceNode(audio, { buffer: this.buffers[k] });
        const gain = new GainNode(audio, { gain: this.gainOf(track) });
        const pan = this.settings.mode === "remix"
          ? new StereoPannerNode(audio, { pan: track.pan }) : null;
        source.connect(gain);
        (pan ? gain.connect(pan) : gain).connect(master);
        return { source, gain, pan, delay: track.delay };
      });
      return { master, lines };
    }

    start() {
      const { master, lines } = this.graph(context);
      this.master = master;
      this.sources = lines;
      this.startedAt = context.currentTime + 0.03;
      const [from, to] = this.bounds;
      for (const { source, delay } of lines) {
        if (this.isLooping) {
          Object.assign(source, { loop: true, loopStart: delay + from, loopEnd: delay + to });
        }
        source.start(this.startedAt, delay + this.place);
        if (!this.isLooping) source.stop(this.startedAt + this.duration - this.place);
      }
      this.isPlaying = true;
    }

    halt() {
      this.place = this.now();
      this.isPlaying = false;
      for (const { source } of this.sources) source.stop();
      this.master?.disconnect();
      this.sources = [];
    }

    async play() {
      context ||= new AudioContext();
      const resumed = context.resume();
      await this.load();
      await resumed;
      for (const other of players) if (other !== this) other.pause();
      if (this.isPlaying) return;
      if (this.place >= this.duration - 0.01) this.place = this.isLooping ? this.bounds[0] : 0;
      if (this.isLooping && this.place >= this.bounds[1]) this.place = this.bounds[0];
      this.start();
      this.showState();
      this.follow();
    }

    pause() {
      if (!this.isPlaying) return;
      this.halt();
      this.showState();
    }

    toggle() {
      if (this.isPlaying) this.pause();
      else this.play().catch(() => {});
    }

    /** Go on in another way: elsewhere, or with another loop. */
    change(how) {
      const wasPlaying = this.isPlaying;
      if (wasPlaying) this.halt();
      how();
      if (wasPlaying) this.start();
      this.showState();
    }

    seek(place) {
      this.change(() => { this.place = clamp(place, 0, this.duration); });
    }

    setLoop(isLooping, region = this.region) {
      this.change(() => {
        this.isLooping = isLooping;
        this.region = region && region[1] - region[0] > 0.05 ? region : null;
        const [from, to] = this.bounds;
        if (isLooping && (this.place < from || this.place >= to)) this.place = from;
      });
    }

    /** Follow the sound with clock and line, until it ends. */
    follow() {
      if (!this.isPlaying) return;
      if (!this.isLooping && this.now() >= this.duration) {
        this.halt();
        this.place = 0;
        this.showState();
        return;
      }
      this.showPlace();
      requestAnimationFrame(() => this.follow());
    }

    /** Have what sounds now follow the controls. */
    adjust() {
      this.sources.forEach(({ gain, pan }, k) => {
        gain.gain.setTargetAtTime(this.gainOf(this.tracks[k]), context.currentTime, RAMP_S / 3);
        pan?.pan.setTargetAtTime(this.tracks[k].pan, context.currentTime, RAMP_S / 3);
      });
      this.master?.gain.setTargetAtTime(amplitude(this.masterDb), context.currentTime, RAMP_S / 3);
      this.showState();
    }

    /** The mix as it is set, as an AudioBuffer of the whole clip. */
    async render() {
      await this.load();
      const { rate, samples } = this.tracks[0];
      const offline = offlineAt(rate, 2, samples);
      for (const { source, delay } of this.graph(offline).lines) source.start(0, delay);
      return offline.startRendering();
    }

    async download() {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(wavOf(await this.render()));
      link.download = `${this.find(".player-title").textContent.trim()} remix.wav`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    }

    // ---- controls ---------------------------------------------------------------------------

    listen() {
      const on = (selector, event, action) => {
        for (const found of this.element.querySelectorAll(selector)) {
          found.addEventListener(event, () => action(found, this.trackOf(found)));
        }
      };
      on(".play", "click", () => this.toggle());
      on(".loop", "click", () => this.setLoop(!this.isLooping));
      on(".seek", "input", (slider) => this.seek(Number(slider.value) * this.duration));
      on(".views input", "change", (radio) => this.show(radio.value));
      on(".mute", "click", (_, track) => this.mute(track));
      on(".solo", "click", (_, track) => this.solo(track));
      on(".choose", "change", (radio) => this.choose(Number(radio.value)));
      on(".download", "click", () => this.download().catch(() => {}));
      on(".level", "input", (slider, track) => {
        const db = Number(slider.value);
        slider.setAttribute("aria-valuetext", db <= OFF_DB ? "silent" : `${db} dB`);
        if (track) track.db = db;
        else this.masterDb = db;
        this.adjust();
      });
      on(".level, .pan", "dblclick", (slider) => {
        slider.value = slider.defaultValue;
        slider.dispatchEvent(new Event("input"));
      });
      on(".pan", "input", (slider, track) => {
        track.pan = Number(slider.value);
        const percent = Math.round(100 * Math.abs(track.pan));
        const side = track.pan < 0 ? "left" : "right";
        slider.setAttribute("aria-valuetext", percent ? `${percent} % ${side}` : "centre");
        this.adjust();
      });
      for (const { lane } of this.tracks) this.listenTo(lane.querySelector(".view"));
      this.element.addEventListener("keydown", (event) => this.press(event));
      this.element.addEventListener("focusin", () => this.element.classList.add("has-focus"));
      this.element.addEventListener("focusout", () => this.element.classList.remove("has-focus"));
    }

    trackOf(element) {
      return this.tracks[element.closest(".lane")?.dataset.track];
    }

    /** A click in a picture goes there; dragging chooses what is looped. */
    listenTo(view) {
      const placeOf = (event) => {
        const { left, width } = view.getBoundingClientRect();
        return clamp((event.clientX - left) / width, 0, 1) * this.duration;
      };
      let from = null;
      view.addEventListener("pointerdown", (event) => {
        if (event.button !== 0) return;
        from = event;
        view.setPointerCapture(event.pointerId);
      });
      view.addEventListener("pointerup", (event) => {
        if (!from) return;
        const [a, b] = [placeOf(from), placeOf(event)].sort((x, y) => x - y);
        const isDrag = Math.abs(event.clientX - from.clientX) > 5;
        from = null;
        if (isDrag) {
          this.setLoop(true, [a, b]);
          return;
        }
        if (this.region && (b < this.region[0] || b >= this.region[1])) this.setLoop(false, null);
        this.seek(b);
      });
      view.addEventListener("pointercancel", () => { from = null; });
    }

    mute(track) {
      track.isMuted = !track.isMuted;
      this.adjust();
    }

    solo(track) {
      track.isSolo = !track.isSolo;
      this.adjust();
    }

    choose(number) {
      this.chosen = number;
      this.adjust();
    }

    show(view) {
      this.view = view;
      this.showState();
      if (view === "spectrogram") this.load().then(() => this.draw(), () => {});
      this.draw();
    }

    /** Keys of a player, while the focus is in it. */
    press(event) {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      const { target, key } = event;
      const isSlider = target.type === "range" || target.type === "radio";
      const isButton = target.tagName === "BUTTON";
      const digit = /^Digit([1-9])$/.exec(event.code);
      const place = this.now();
      if (key === " " && !isButton) this.toggle();
      else if (key === "k") this.toggle();
      else if (key === "ArrowLeft" && !isSlider) this.seek(place - SEEK_S);
      else if (key === "ArrowRight" && !isSlider) this.seek(place + SEEK_S);
      else if (key === "Home" && !isSlider) this.seek(0);
      else if (key === "l") this.setLoop(!this.isLooping);
      else if (key === "[") this.setLoop(this.isLooping, [place, Math.max(this.bounds[1], place + 1)]);
      else if (key === "]") this.setLoop(true, [Math.min(this.bounds[0], place - 0.1), place]);
      else if (key === "Escape" && this.region) this.setLoop(false, null);
      else if (digit && this.tracks[digit[1] - 1]) {
        const track = this.tracks[digit[1] - 1];
        if (this.isSwitch) this.choose(digit[1] - 1);
        else if (event.shiftKey) this.solo(track);
        else this.mute(track);
      } else return;
      event.preventDefault();
    }

    // ---- pictures ---------------------------------------------------------------------------

    draw() {
      const scale = window.devicePixelRatio || 1;
      this.tracks.forEach((track, k) => {
        const { canvas } = track;
        const width = Math.round(canvas.clientWidth * scale);
        const height = Math.round(canvas.clientHeight * scale);
        if (!width || !height) return;
        canvas.width = width;
        canvas.height = height;
        const pen = canvas.getContext("2d");
        pen.fillStyle = getComputedStyle(track.lane).getPropertyValue("--tone");
        if (this.view === "notes") this.drawNotes(pen, track, width, height);
        else if (this.view === "spectrogram") this.drawSpectrogram(pen, k, width, height);
        else this.drawWaveform(pen, track, width, height);
      });
    }

    drawWaveform(pen, track, width, height) {
      const { waveform } = track;
      const step = width / (this.duration * track.waveformHz);
      waveform.forEach((level, k) => {
        // The square root of the level, so that what is soft is seen too.
        const half = Math.max(0.5, Math.sqrt(level / 255) * (height / 2 - 2));
        pen.fillRect(k * step, height / 2 - half, Math.max(1, step * 0.72), 2 * half);
      });
    }

    drawNotes(pen, track, width, height) {
      const pitches = track.notes.map((note) => note[2]);
      if (!pitches.length) return;
      if (track.drums) { // a row for each piece of the kit
        const pieces = [...new Set(pitches)].sort((a, b) => a - b);
        const rows = pieces.length;
        const size = Math.min(height / (rows + 1), height / 8);
        const across = width / (1000 * this.duration);
        for (const [onset, , pitch, velocity] of track.notes) {
          const y = height * (1 - (pieces.indexOf(pitch) + 1) / (rows + 1));
          pen.globalAlpha = 0.35 + 0.65 * (velocity / 127);
          pen.fillRect(onset * across, y - size / 2, Math.max(2, size * 0.7), size * 0.8);
        }
        pen.globalAlpha = 1;
        return;
      }
      const low = Math.min(...pitches) - 1.5;
      const high = Math.max(...pitches) + 1.5;
      const row = Math.max(2, Math.min(height / (high - low), height / 12));
      const scale = width / (1000 * this.duration);
      for (const [onset, offset, pitch, velocity] of track.notes) {
        const y = height * (1 - (pitch - low) / (high - low)) - row / 2;
        pen.globalAlpha = 0.35 + 0.65 * (velocity / 127);
        pen.fillRect(onset * scale, y, Math.max(2, (offset - onset) * scale - 1), row);
      }
      pen.globalAlpha = 1;
    }

    drawSpectrogram(pen, k, width, height) {
      if (!this.buffers) return;
      this.spectra ||= this.buffers.map((buffer, j) => spectraOf(buffer, this.tracks[j]));
      const top = Math.max(...this.spectra.map((found) => found.top));
      const { levels, nColumns, nRows } = this.spectra[k];
      const image = new ImageData(nColumns, nRows);
      for (let i = 0; i < levels.length; i++) {
        const part = clamp(1 - (top - levels[i]) / -FLOOR_DB, 0, 1);
        const [x, y] = [Math.floor(i / nRows), nRows - 1 - (i % nRows)];
        image.data.set([...colourOf(part), 255], 4 * (y * nColumns + x));
      }
      const small = document.createElement("canvas");
      Object.assign(small, { width: nColumns, height: nRows });
      small.getContext("2d").putImageData(image, 0, 0);
      pen.drawImage(small, 0, 0, width, height);
    }
  }

  /** Levels in dB of a clip: columns in time, rows of equal musical intervals from 40 Hz on. */
  const spectraOf = (buffer, track) => {
    const size = 2048;
    const rate = buffer.sampleRate;
    const samples = Math.round((track.samples * rate) / track.rate);
    const [nColumns, nRows] = [Math.min(600, Math.max(1, Math.floor(samples / 256))), 64];
    const sound = buffer.getChannelData(0);
    const window = Float64Array.from({ length: size }, (_, n) => 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / size));
    const edges = Array.from({ length: nRows + 1 }, (_, r) => 40 * (rate / 80) ** (r / nRows));
    const bins = edges.map((hz) => (hz * size) / rate);
    const levels = new Float32Array(nColumns * nRows);
    const [real, imaginary] = [new Float64Array(size), new Float64Array(size)];
    const begin = Math.round(track.delay * rate);
    let top = -200;
    for (let c = 0; c < nColumns; c++) {
      const from = begin + Math.round(((c + 0.5) * samples) / nColumns) - size / 2;
      for (let n = 0; n < size; n++) real[n] = window[n] * (sound[from + n] || 0);
      imaginary.fill(0);
      transform(real, imaginary);
      for (let r = 0; r < nRows; r++) {
        const low = Math.min(size / 2, Math.round(bins[r]));
        const high = Math.min(size / 2, Math.max(low, Math.round(bins[r + 1]) - 1));
        let power = 1e-20;
        for (let b = low; b <= high; b++) power = Math.max(power, real[b] ** 2 + imaginary[b] ** 2);
        const level = 10 * Math.log10(power);
        levels[c * nRows + r] = level;
        top = Math.max(top, level);
      }
    }
    return { levels, nColumns, nRows, top };
  };

  /** The fast Fourier transform (radix 2) of a power of two of complex numbers, in place. */
  const transform = (real, imaginary) => {
    const n = real.length;
    for (let i = 1, j = 0; i < n; i++) {
      let bit = n >> 1;
      for (; j & bit; bit >>= 1) j ^= bit;
      j ^= bit;
      if (i < j) {
        [real[i], real[j]] = [real[j], real[i]];
        [imaginary[i], imaginary[j]] = [imaginary[j], imaginary[i]];
      }
    }
    for (let length = 2; length <= n; length <<= 1) {
      const half = length >> 1;
      for (let k = 0; k < half; k++) {
        const angle = (-2 * Math.PI * k) / length;
        const [cosine, sine] = [Math.cos(angle), Math.sin(angle)];
        for (let i = k; i < n; i += length) {
          const j = i + half;
          const re = real[j] * cosine - imaginary[j] * sine;
          const im = real[j] * sine + imaginary[j] * cosine;
          real[j] = real[i] - re;
          imaginary[j] = imaginary[i] - im;
          real[i] += re;
          imaginary[i] += im;
        }
      }
    }
  };

  // Points of the colour map inferno (CC0, by Nathaniel Smith and Stefan van der Walt).
  const INFERNO = [[0, 0, 4], [40, 11, 84], [101, 21, 110], [159, 42, 99], [212, 72, 66],
    [245, 125, 21], [250, 193, 39], [252, 255, 164]];
  const colourOf = (part) => {
    const place = part * (INFERNO.length - 1);
    const k = Math.min(INFERNO.length - 2, Math.floor(place));
    return INFERNO[k].map((low, c) => low + (place - k) * (INFERNO[k + 1][c] - low));
  };

  /** A WAV file of 32-bit floats. */
  const wavOf = (buffer) => {
    const { numberOfChannels: n, length, sampleRate } = buffer;
    const data = new DataView(new ArrayBuffer(44 + 4 * n * length));
    const text = (at, word) => [...word].forEach((c, k) => data.setUint8(at + k, c.charCodeAt(0)));
    text(0, "RIFF");
    data.setUint32(4, data.byteLength - 8, true);
    text(8, "WAVEfmt ");
    data.setUint32(16, 16, true);
    data.setUint16(20, 3, true); // IEEE float
    data.setUint16(22, n, true);
    data.setUint32(24, sampleRate, true);
    data.setUint32(28, 4 * n * sampleRate, true);
    data.setUint16(32, 4 * n, true);
    data.setUint16(34, 32, true);
    text(36, "data");
    data.setUint32(40, 4 * n * length, true);
    const channels = Array.from({ length: n }, (_, c) => buffer.getChannelData(c));
    for (let k = 0, at = 44; k < length; k++) {
      for (let c = 0; c < n; c++, at += 4) data.setFloat32(at, channels[c][k], true);
    }
    return new Blob([data], { type: "audio/wav" });
  };

  for (const element of document.querySelectorAll(".player")) {
    element.player = new Player(element);
    players.push(element.player);
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const player of players) player.draw();
  });
  // Small screens begin with the contents folded.
  if (matchMedia("(max-width: 68rem)").matches) document.querySelector(".contents details").open = false;
})();
