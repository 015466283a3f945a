// A service worker: what the page consists of is kept, so that it works without a network. build.sh names
// the store after what is in it, so that a change of any file takes a store of its own.
const STORE = "lfic-BUILD";
const FILES = [
  "./", "index.html", "icon.svg", "page.css", "page.js", "lfic.js", "lfic.wasm", "face-v2.safetensors", "vendor/jsQR.js",
  "face.lfic", "face.png",
];

addEventListener("install", (event) => {
  event.waitUntil(caches.open(STORE).then((store) => store.addAll(FILES)).then(() => skipWaiting()));
});

addEventListener("activate", (event) => {
  event.waitUntil(
    caches.keys()
      .then((names) => Promise.all(names.filter((name) => name !== STORE).map((name) => caches.delete(name))))
      .then(() => clients.claim()),
  );
});

// The network first, so that another version is seen at once; what is kept where there is none. The model, which is
// large, comes from the store.
addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET" || new URL(request.url).origin !== location.origin) return;
  const kept = () => caches.match(request, { ignoreSearch: true });
  const fetched = () => fetch(request);
  if (request.url.endsWith(".safetensors")) event.respondWith(kept().then((found) => found ?? fetched()));
  else event.respondWith(fetched().catch(() => kept()));
});
