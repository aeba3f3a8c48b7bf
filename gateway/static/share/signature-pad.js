// A signature drawn with a finger, a pen or a mouse, sent as the path of its strokes: whole numbers on 600 x 200.

const [WIDTH, HEIGHT] = [600, 200];
const MOST = 12_000; // characters, as the server takes
const LEAST_STEP = 3; // closer points add bytes and nothing to see

/** Turn `block` (a canvas, a hidden field, a button that clears both) into a pad. */
export function setUpPad(block) {
  const [canvas, field, clear] = ["canvas", "input", "[data-pad-clear]"].map((what) => block.querySelector(what));
  const pen = canvas.getContext("2d");
  Object.assign(pen, { lineWidth: 4, lineCap: "round", lineJoin: "round", strokeStyle: "#14201b" });
  let path = "";
  let stroke = [];
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    const within = (at, most) => Math.round(Math.min(Math.max(at, 0), 1) * most);
    return [within((event.clientX - box.left) / box.width, WIDTH), within((event.clientY - box.top) / box.height, HEIGHT)];
  };
  const draw = (event) => {
    const [from, to] = [stroke.at(-1), place(event)];
    if (Math.hypot(to[0] - from[0], to[1] - from[1]) < LEAST_STEP) return;
    stroke.push(to);
    pen.beginPath();
    pen.moveTo(...from);
    pen.lineTo(...to);
    pen.stroke();
  };
  const lift = () => {
    const drawn = stroke.length > 1 ? `M${stroke.map((point) => point.join(" ")).join("L")}` : "";
    stroke = [];
    if (path.length + drawn.length <= MOST) path += drawn;
    field.value = path;
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    stroke = [place(event)];
  });
  canvas.addEventListener("pointermove", (event) => stroke.length > 0 && draw(event));
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, lift);
  clear.addEventListener("click", () => {
    pen.clearRect(0, 0, WIDTH, HEIGHT);
    path = field.value = "";
  });
  block.hidden = false;
}
