// Requests and streams, with the token if the server wants one.
let token = sessionStorage.getItem("token") ?? "";

export function setToken(text) {
  token = text;
  sessionStorage.setItem("token", text);
}

export function api(path, options = {}) {
  const headers = { ...options.headers };
  if (token) headers.authorization = `Bearer ${token}`;
  return fetch(path, { ...options, headers });
}

// Open a stream and begin a line. Messages that come go to stream.partial; final() ends the line.
export function connect(settings) {
  const address = new URL("v1/stream", location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(address);
  const stream = { partial: () => {}, failed: () => {}, socket };
  const begin = () => JSON.stringify({ type: "start", token: token || undefined, ...settings });
  let end;
  let told = "";
  stream.ready = new Promise((resolve, reject) => {
    socket.addEventListener("open", () => socket.send(begin()));
    socket.addEventListener("message", ({ data }) => {
      const message = JSON.parse(data);
      if (message.type === "ready") resolve(stream);
      if (message.type === "partial") stream.partial(message);
      if (message.type === "final") end?.resolve(message.transcript);
      if (message.type === "error") told = message.message;
    });
    socket.addEventListener("close", () => {
      const error = new Error(told || "The stream has ended; is the server there?");
      reject(error);
      end?.reject(error);
      stream.closed = true;
      if (told) stream.failed(told);
    });
  });
  stream.ready.catch(() => {});
  stream.send = (data) => socket.readyState === WebSocket.OPEN && socket.send(data);
  stream.finish = () =>
    new Promise((resolve, reject) => {
      end = { resolve, reject };
      if (stream.closed) reject(new Error(told || "The stream has ended."));
      stream.send(JSON.stringify({ type: "finish" }));
    }).finally(() => socket.close());
  return stream;
}
