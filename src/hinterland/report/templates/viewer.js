(() => {
  "use strict";
  const root = document.getElementById("viewer");
  const scenes = JSON.parse(document.getElementById("viewer-scenes").textContent);
  const part = (name) => root.querySelector(`[data-part="${name}"]`);
  const canvas = root.querySelector("canvas");
  const message = root.querySelector(".message");
  const ALL = 3;
  const RENDER = 4;
  const ALONG = [2, 1, 0]; // the axis (x, y, z) that each plane scrolls along
  const HIT = "#2ec27e";
  const MISSED = "#ffe14d";
  const REFERENCE = "#ffffff";
  const METHODS = ["#ffab4a", "#4fb0ff", "#3fe0a0", "#dd8cff", "#ff7d9f", "#b6e35c", "#4fe3f2"];
  const STRUCTURES = ["#ff4d4d", "#c77dff", "#ff9f1c", "#27b4ff", "#ff70c8", "#9fd356", "#c08a5c",
    "#8aa0ff", "#00d5c4", "#d4d4d4"];
  const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  const structure = (code) => STRUCTURES[code % STRUCTURES.length];
  const state = { scene: 0, group: 0, show: "", plane: ALL, opacity: 60, zoom: 1, layers: new Set(), window: [0, 1] };
  let nv = null;
  let faintGrey = "gray"; // grey, and almost transparent
  let data = null; // the volumes of the scene that is shown, unpacked
  let busy = Promise.resolve();

  function stop(text) {
    message.textContent = text;
    message.hidden = false;
    root.classList.add("off");
  }

  function element(tag, text, attributes = {}) {
    const made = document.createElement(tag);
    made.textContent = text;
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  }

  const raw = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

  async function unpacked(text) {
    const stream = new Blob([raw(text)]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  function nifti(scene, voxels, slope, intercept, name) {
    const header = raw(scene.header);
    const view = new DataView(header.buffer);
    view.setFloat32(112, slope, true);
    view.setFloat32(116, intercept, true);
    return { url: new File([header, voxels], `${name}.nii`), name: `${name}.nii` };
  }

  const scene = () => scenes[state.scene];
  const group = () => scene().classes[state.group];

  // ---- what is drawn over the image: one label map, made anew for every choice ----

  function choices() {
    const found = [];
    const { methods, classes } = scene();
    if (data.reference && classes.length) {
      methods.forEach((name, i) => found.push([`errors${i}`, `errors of ${name}`]));
    }
    if (classes.length && (data.reference || methods.length)) found.push(["masks", "masks"]);
    if (data.reference) found.push(["structures", "structures"]);
    found.push(["nothing", "image only"]);
    return found;
  }

  function layers() { // the masks that can be laid over each other, as [key, name, colour]
    const found = data.reference ? [["reference", "reference", REFERENCE]] : [];
    scene().methods.forEach((name, i) => {
      if (i < METHODS.length) found.push([`prediction${i}`, name, METHODS[i]]);
    });
    return found;
  }

  function overlay() {
    const { reference } = data;
    const codes = new Uint8Array(data.image.length);
    const colours = ["#000000"];
    const names = [""];
    const inside = new Set(group() ? group().inside : []);
    const undecided = new Set(group() ? group().undecided : []);
    if (state.show === "structures") {
      scene().structures.forEach((name, i) => { colours.push(structure(i)); names.push(name); });
      const hidden = new Set(scene().hidden);
      for (let i = 0; i < codes.length; i += 1) codes[i] = hidden.has(reference[i]) ? 0 : reference[i] + 1;
    } else if (state.show.startsWith("errors")) {
      const predicted = data[`prediction${state.show.slice(6)}`];
      colours.push(HIT, MISSED, ...scene().structures.map((_, i) => structure(i)));
      names.push("found", "missed", ...scene().structures.map((n) => `${n}, taken for ${group().name}`));
      for (let i = 0; i < codes.length; i += 1) {
        const is = inside.has(reference[i]);
        const said = predicted[i] === group().group;
        if (is) codes[i] = said ? 1 : 2;
        else if (said && !undecided.has(reference[i])) codes[i] = 3 + reference[i];
      }
    } else if (state.show === "masks") {
      const shown = layers().filter(([key]) => state.layers.has(key));
      for (let set = 1; set < 2 ** shown.length; set += 1) { // where masks overlap, colours mix
        const members = shown.filter((_, bit) => set & (1 << bit));
        const mean = [0, 1, 2].map((c) => Math.round(
          members.reduce((sum, [, , hex]) => sum + rgb(hex)[c], 0) / members.length));
        colours.push(`#${mean.map((v) => v.toString(16).padStart(2, "0")).join("")}`);
        names.push(members.map(([, name]) => name).join(" and "));
      }
      shown.forEach(([key], bit) => {
        const voxels = data[key];
        for (let i = 0; i < codes.length; i += 1) {
          const is = key === "reference" ? inside.has(voxels[i]) : voxels[i] === group().group;
          if (is) codes[i] += 1 << bit;
        }
      });
    }
    return { codes, colours, names };
  }

  function legend(names, colours) {
    const list = part("legend");
    list.replaceChildren();
    const add = (colour, text) => {
      const item = element("li", "");
      const mark = element("span", "", { class: "swatch" });
      mark.style.setProperty("--key", colour);
      item.append(mark, text);
      list.append(item);
    };
    if (state.show === "structures") {
      const hidden = new Set(scene().hidden);
      names.forEach((name, i) => { if (i && !hidden.has(i - 1)) add(colours[i], name); });
    } else if (state.show.startsWith("errors")) {
      const { unit, methods } = scene().errors[group().name];
      const of = methods[scene().methods[Number(state.show.slice(6))]];
      const amount = (value) => `${value.toFixed(unit === "mL" ? 2 : 0)} ${unit}`;
      add(HIT, `found, ${amount(of.correct)}`);
      add(MISSED, `missed, ${amount(of.missed)}`);
      const wrong = Object.entries(of.false).sort((a, b) => b[1] - a[1]);
      for (const [name, value] of wrong) {
        add(structure(scene().structures.indexOf(name)), `${name}, taken for ${group().name}: ${amount(value)}`);
      }
      if (!wrong.length) list.append(element("li", "nothing else taken for it"));
    }
    list.hidden = !list.childElementCount;
  }

  async function draw() {
    const { codes, colours, names } = overlay();
    const all = colours.map(rgb);
    const map = { R: all.map((c) => c[0]), G: all.map((c) => c[1]), B: all.map((c) => c[2]),
      A: all.map((_, i) => (i ? 255 : 0)), I: all.map((_, i) => i), labels: names };
    nv.volumes[1].img.set(codes);
    await nv.setColormapLabel(1, map);
    legend(names, colours);
    planes();
    part("layers").hidden = state.show !== "masks";
    root.dataset.coloured = String(codes.reduce((sum, c) => sum + (c > 0), 0));
    root.dataset.show = state.show;
    where();
  }

  // ---- the controls ----

  const later = (work) => { busy = busy.then(work).catch((error) => stop(`The viewer stopped: ${error.message}`)); return busy; };

  function fill(select, entries, chosen) {
    select.replaceChildren(...entries.map(([value, text]) => element("option", text, { value })));
    select.value = chosen;
    select.closest("label").hidden = entries.length < 2;
  }

  function layerBoxes() {
    const field = part("layers");
    field.querySelectorAll("label").forEach((label) => label.remove());
    for (const [key, name, colour] of layers()) {
      const label = element("label", "");
      const box = element("input", "", { type: "checkbox", "data-mask": key });
      const mark = element("span", "", { class: "swatch" });
      mark.style.setProperty("--key", colour);
      box.checked = state.layers.has(key);
      box.addEventListener("change", () => {
        if (box.checked) state.layers.add(key); else state.layers.delete(key);
        later(draw);
      });
      label.append(box, mark, name);
      field.append(label);
    }
  }

  function slider(name, value, text, limits) {
    const input = part(name);
    if (limits) [input.min, input.max, input.step] = limits.map(String);
    input.value = String(value);
    input.nextElementSibling.textContent = text;
    input.setAttribute("aria-valuetext", text);
  }

  function slice() { // number of the slice that is shown, from 0, of how many
    const axis = ALONG[state.plane < ALL ? state.plane : scene().plane];
    const count = nv.volumes[0].dimsRAS[axis + 1];
    return { axis, count, at: Math.min(count - 1, Math.max(0, Math.floor(nv.crosshairPos[axis] * count))) };
  }

  function move(to) {
    const { axis, count, at } = slice();
    const step = [0, 0, 0];
    step[axis] = Math.min(count - 1, Math.max(0, to)) - at;
    if (step[axis]) nv.moveCrosshairInVox(...step);
    where();
  }

  const plain = (value) => Number(value.toPrecision(3)).toString();

  function where() {
    const { count, at } = slice();
    slider("slice", at, `${at + 1} / ${count}`, [0, count - 1, 1]);
    part("slice").disabled = state.plane === RENDER;
    root.dataset.slice = String(at);
  }

  function located(event) {
    const values = event.detail.values || [];
    const parts = values.length ? [`value ${plain(values[0].value)}`] : [];
    const vox = values.length ? values[0].vox : null;
    if (vox && data && data.reference) { // these voxels run right, front, up: find ours
      const { img2RASstart: starts, img2RASstep: steps } = nv.volumes[0];
      const code = data.reference[[0, 1, 2].reduce((sum, i) => sum + starts[i] + vox[i] * steps[i], 0)];
      if (scene().structures[code] !== undefined) parts.push(`reference: ${scene().structures[code]}`);
    }
    const mm = event.detail.mm;
    if (mm && !scene().oblique) parts.unshift(`${[0, 1, 2].map((i) => mm[i].toFixed(1)).join(", ")} mm (right, front, up)`);
    part("where").textContent = parts.join(" · ");
    where();
  }

  // The sharpest plane large, the others beside it, or below it where the screen is narrow.
  const WIDE = [[0, 0, 0.62, 1], [0.62, 0, 0.38, 0.5], [0.62, 0.5, 0.38, 0.5]];
  const TALL = [[0, 0, 1, 0.62], [0, 0.62, 0.5, 0.38], [0.5, 0.62, 0.5, 0.38]];

  function layout() {
    const order = [scene().plane, ...[0, 1, 2].filter((plane) => plane !== scene().plane)];
    const places = canvas.clientWidth > 1.1 * canvas.clientHeight ? WIDE : TALL;
    return order.map((sliceType, i) => ({ sliceType, position: places[i] }));
  }

  function planes() {
    nv.sliceType = state.plane;
    nv.customLayout = state.plane === ALL ? layout() : null;
    for (const button of root.querySelectorAll("[data-plane]")) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.plane) === state.plane));
    }
    const faint = state.plane === RENDER && state.show !== "nothing"; // else the body hides it
    nv.volumes[0].colormap = faint ? faintGrey : "gray";
    nv.volumes[1].opacity = faint ? 1 : state.opacity / 100;
    later(() => nv.updateGLVolume());
    where();
  }

  function windowed() {
    const [low, step] = scene().grey;
    const high = low + 255 * step;
    const centre = (state.window[0] + state.window[1]) / 2;
    const width = state.window[1] - state.window[0];
    slider("centre", centre, plain(centre), [low, high, step]);
    slider("width", width, plain(width), [step, high - low, step]);
    return nv.setVolume(0, { calMin: state.window[0], calMax: state.window[1] });
  }

  function reset() {
    const [low, step] = scene().grey;
    state.window = [low, low + 255 * step];
    state.opacity = 60;
    state.plane = ALL;
    slider("opacity", 60, "60 %");
  }

  function window_(centre, width) {
    const least = scene().grey[1];
    const wide = Math.max(least, width);
    state.window = [centre - wide / 2, centre + wide / 2];
    later(windowed);
  }

  function opacity(value) {
    state.opacity = Math.min(100, Math.max(0, value));
    slider("opacity", state.opacity, `${state.opacity} %`);
    planes();
  }

  function zoom(value) { // about the cross
    state.zoom = Math.min(8, Math.max(1, value));
    slider("zoom", state.zoom, `× ${plain(state.zoom)}`);
    const centre = nv.model.scene2mm(nv.crosshairPos);
    nv.pan2Dxyzmm = state.zoom === 1 ? [0, 0, 0, 1]
      : [...[0, 1, 2].map((i) => (1 - state.zoom) * centre[i]), state.zoom];
  }

  function show(value) {
    state.show = value;
    part("show").querySelector("select").value = value;
    later(draw);
  }

  async function open() {
    const now = scene();
    message.textContent = "Unpacking the volumes …";
    message.hidden = false;
    const keys = Object.keys(now).filter((k) => k === "image" || k === "reference" || /^prediction\d+$/.test(k));
    data = Object.fromEntries(await Promise.all(keys.map(async (k) => [k, await unpacked(now[k])])));
    state.group = Math.min(state.group, Math.max(0, now.classes.length - 1));
    reset();
    state.layers = new Set(layers().map(([key]) => key));
    const known = choices();
    if (!known.some(([key]) => key === state.show)) {
      const errors = known.filter(([key]) => key.startsWith("errors"));
      state.show = (errors.length ? errors[errors.length - 1] : known[0])[0];
      if (!now.methods.length && data.reference) state.show = "structures";
    }
    part("remark").textContent = now.remark;
    part("shrunk").textContent = now.shrunk;
    fill(part("class").querySelector("select"), now.classes.map((c, i) => [i, c.name]), state.group);
    fill(part("show").querySelector("select"), known, state.show);
    layerBoxes();
    const [low, step] = now.grey;
    await nv.loadVolumes([
      { ...nifti(now, data.image, step, low, "image"), colormap: "gray", calMin: state.window[0], calMax: state.window[1], isTransparentBelowCalMin: false },
      { ...nifti(now, new Uint8Array(data.image.length), 1, 0, "overlay"), opacity: state.opacity / 100, calMin: 0, calMax: 255 },
    ]);
    const { pixDimsRAS: sides, dimsRAS: counts } = nv.volumes[0];
    nv.crosshairWidth = Math.min(...sides.slice(1, 4)) * 0.12;
    nv.crosshairGap = Math.max(...[1, 2, 3].map((i) => sides[i] * counts[i])) * 0.09;
    await windowed();
    await draw();
    begin();
    zoom(1);
    planes();
    message.hidden = true;
    canvas.setAttribute("aria-label", `${now.case}, as slices. Keys are listed below.`);
    root.dataset.ready = now.case;
  }

  function begin() { // at the class, where there is one
    const start = group() && group().start;
    if (!start) return;
    const volume = nv.volumes[0];
    const mm = [0, 1, 2].map((row) => volume.hdr.affine[row][0] * start[0]
      + volume.hdr.affine[row][1] * start[1] + volume.hdr.affine[row][2] * start[2] + volume.hdr.affine[row][3]);
    nv.setCrosshairPos(mm);
  }

  function keyed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { count, at } = slice();
    const [low, high] = state.window;
    const [centre, width] = [(low + high) / 2, high - low];
    const steps = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 10, PageDown: -10 };
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (key in steps) move(at + steps[key]);
    else if (key === "Home") move(0);
    else if (key === "End") move(count - 1);
    else if (/^[1-5]$/.test(key)) { state.plane = Number(key) - 1; planes(); }
    else if (key === "e") {
      const known = choices().map(([value]) => value);
      show(known[(known.indexOf(state.show) + 1) % known.length]);
    } else if (key === "r" && data.reference) {
      if (state.layers.has("reference")) state.layers.delete("reference"); else state.layers.add("reference");
      layerBoxes();
      show("masks");
    } else if (key === "+" || key === "=") opacity(state.opacity + 10);
    else if (key === "-" || key === "−") opacity(state.opacity - 10);
    else if (key === "z") zoom(state.zoom * 1.25);
    else if (key === "x") zoom(state.zoom / 1.25);
    else if (key === "[") window_(centre, width / 1.15);
    else if (key === "]") window_(centre, width * 1.15);
    else if (key === ",") window_(centre - width / 12, width);
    else if (key === ".") window_(centre + width / 12, width);
    else if (key === "0") { reset(); later(windowed); opacity(60); zoom(1); planes(); }
    else return;
    event.preventDefault();
  }

  function wire() {
    part("case").querySelector("select").addEventListener("change", (e) => { state.scene = Number(e.target.value); later(open); });
    part("class").querySelector("select").addEventListener("change", (e) => {
      state.group = Number(e.target.value);
      later(draw).then(begin).then(where);
    });
    part("show").querySelector("select").addEventListener("change", (e) => show(e.target.value));
    part("slice").addEventListener("input", (e) => move(Number(e.target.value)));
    part("zoom").addEventListener("input", (e) => zoom(Number(e.target.value)));
    canvas.addEventListener("pointerup", () => { // the right button has moved the window
      state.window = [nv.volumes[0].calMin, nv.volumes[0].calMax];
      later(windowed);
    });
    part("opacity").addEventListener("input", (e) => opacity(Number(e.target.value)));
    part("centre").addEventListener("input", (e) => window_(Number(e.target.value), state.window[1] - state.window[0]));
    part("width").addEventListener("input", (e) => window_((state.window[0] + state.window[1]) / 2, Number(e.target.value)));
    for (const button of root.querySelectorAll("[data-plane]")) {
      button.addEventListener("click", () => { state.plane = Number(button.dataset.plane); planes(); });
    }
    canvas.addEventListener("keydown", keyed);
    window.addEventListener("resize", planes);
    canvas.addEventListener("pointerdown", () => canvas.focus({ preventScroll: true }));
    // The wheel turns the page until the volume has been chosen by a click or by Tab.
    canvas.parentElement.addEventListener("wheel", (event) => {
      if (document.activeElement !== canvas) event.stopPropagation();
    }, { capture: true, passive: true });
  }

  async function start() {
    message.textContent = "Unpacking the viewer …";
    const code = new TextDecoder().decode(await unpacked(document.getElementById("viewer-engine").textContent.trim()));
    const script = document.createElement("script");
    script.textContent = `${code}\nwindow.hinterlandEngine = niivue;`;
    document.head.append(script);
    nv = new window.hinterlandEngine.NiiVue({
      logLevel: "error", isDragDropEnabled: false, isAntiAlias: true, isColorbarVisible: false, isLegendVisible: false,
      isOrientCubeVisible: false, backgroundColor: [0, 0, 0, 1], crosshairWidth: 1, crosshairColor: [0.45, 0.75, 1, 0.8],
      isRadiological: true, isSnapToVoxelCenters: true, primaryDragMode: 8, secondaryDragMode: 9,
      volumeIsNearestInterpolation: false, isThumbnailVisible: false, placeholderText: "",
    });
    faintGrey = nv.addColormap("hinterland-faint", { R: [0, 255], G: [0, 255], B: [0, 255], A: [0, 8], I: [0, 255] });
    await nv.attachToCanvas(canvas);
    window.removeEventListener("keydown", nv._eventListeners.keydown); // it listens to the whole page
    nv.addEventListener("locationChange", located);
    wire();
    fill(part("case").querySelector("select"), scenes.map((s, i) => [i, s.case]), 0);
    await open();
  }

  if (!document.createElement("canvas").getContext("webgl2")) {
    stop("This browser has no WebGL 2, so the volume is not shown here. Everything else on this page works; another browser, or graphics acceleration switched on, shows it.");
  } else if (typeof DecompressionStream === "undefined") {
    stop("This browser is too old to unpack the volume (it has no DecompressionStream). Everything else on this page works.");
  } else {
    message.textContent = "The viewer starts when it comes into view.";
    const seen = new IntersectionObserver((entries) => {
      if (!entries.some((e) => e.isIntersecting)) return;
      seen.disconnect();
      later(start);
    }, { rootMargin: "200px" });
    seen.observe(root);
  }
})();
