// Live: rows as they come. What is read or selected stays where it is: what is new is offered then.
"use strict";

(() => {
  const { all, endPage, local, setTimes, showAway } = window.hooks;
  const live = document.getElementById("live");
  const feed = document.getElementById("feed");
  const rows = feed.tBodies[0];
  const state = document.getElementById("live-state");
  const pause = document.getElementById("pause");
  const more = document.getElementById("more");
  const lost = document.getElementById("missed");
  const away = document.getElementById("away");
  const kept = Number(live.dataset.kept);
  // A watch may begin so long ago at the most; what is older is in the list.
  const farthest = 9 * 60 * 1000;
  // The server says something every 15 seconds.
  const silence = 40000;

  let at = null;
  let heardAt = Date.now();
  let heard = false;
  let paused = false;
  let waiting = [];
  let missed = 0;
  let reading = null;
  let tries = 0;
  let again = 0;

  // Nothing moves under who reads, has the focus in a row, or has selected something.
  const isBusy = () =>
    paused || window.scrollY > 120 || feed.contains(document.activeElement) ||
    (!getSelection().isCollapsed && feed.contains(getSelection().anchorNode));

  function tell() {
    state.textContent = paused ? "Paused" : heard ? "Watching" : "Connecting";
    more.hidden = waiting.length === 0;
    more.textContent = `${waiting.length} new`;
  }

  function tellMissed(since) {
    lost.hidden = false;
    lost.textContent = since
      ? `This page did not watch since ${local(since)}. `
      : `${missed} ${missed === 1 ? "change was" : "changes were"} left out: more happens than this page keeps or reads. `;
    const link = document.createElement("a");
    link.href = live.dataset.list;
    link.textContent = "The list has all of them";
    lost.append(link);
  }

  function show() {
    if (!waiting.length) { tell(); return; }
    const page = new DOMParser().parseFromString(`<table><tbody>${waiting.join("")}</tbody></table>`, "text/html");
    waiting = [];
    const seen = new Set(all("tr", rows).map((each) => each.dataset.key));
    for (const row of all("tr", page)) {
      // What goes on where another stream broke may tell some once more.
      if (seen.has(row.dataset.key)) continue;
      const made = document.importNode(row, true);
      made.classList.add("new");
      rows.prepend(made);
      setTimes(made);
    }
    while (rows.rows.length > kept) rows.lastElementChild.remove();
    feed.hidden = rows.rows.length === 0;
    document.getElementById("waiting").hidden = !feed.hidden;
    tell();
  }

  function take(message) {
    at = message.at;
    heardAt = Date.now();
    heard = true;
    tries = 0;
    away.hidden = true;
    if (message.row) waiting.push(message.row);
    if (waiting.length > kept) { waiting.shift(); message.missed += 1; }
    if (message.missed) { missed += message.missed; tellMissed(null); }
  }

  async function read(answer) {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const piece of pieces(answer.body.getReader())) {
      const lines = (rest + decoder.decode(piece, { stream: true })).split("\n");
      rest = lines.pop();
      for (const line of lines) take(JSON.parse(line));
      if (isBusy()) tell(); else show();
    }
  }

  async function* pieces(reader) {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  }

  async function watch() {
    if (reading || document.visibilityState !== "visible") return;
    const own = new AbortController();
    reading = own;
    const address = new URL(live.dataset.stream, location.href);
    const behind = Date.now() - heardAt;
    if (at && behind < farthest) address.searchParams.set("since", at);
    else if (at) tellMissed(heardAt);
    try {
      const answer = await fetch(address, { headers: { "X-Live": "1" }, cache: "no-store", redirect: "manual", signal: own.signal });
      if (answer.status === 401) { endPage(); return; }
      if (answer.ok) await read(answer);
      else if (answer.status === 429) state.textContent = "As many pages are live as may be; this one tries again";
    } catch {
      // Ended by us, or by a server that is away: the timer below goes on.
    }
    if (reading !== own) return;
    reading = null;
    heard = false;
    tries += 1;
    again = Date.now() + Math.min(10000, 500 * 2 ** tries);
  }

  function stop() {
    if (reading) reading.abort();
    reading = null;
    heard = false;
  }

  setInterval(() => {
    if (document.visibilityState !== "visible") return;
    if (reading && Date.now() - heardAt > silence) stop();
    if (!reading && Date.now() >= again) watch();
    if (!reading && tries > 0 && Date.now() - heardAt > 2000) {
      showAway(away, heardAt);
    }
  }, 500);

  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") { again = 0; watch(); } else stop();
  });
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? "Go on" : "Pause";
    if (!paused) show();
    tell();
  });
  more.addEventListener("click", () => {
    const was = paused;
    paused = false;
    document.activeElement.blur();
    show();
    paused = was;
    tell();
    scrollTo(0, 0);
  });
  document.getElementById("clear").addEventListener("click", () => {
    rows.replaceChildren();
    waiting = [];
    missed = 0;
    lost.hidden = true;
    feed.hidden = true;
    document.getElementById("waiting").hidden = false;
    tell();
  });

  document.getElementById("scriptless").hidden = true;
  live.hidden = false;
  document.getElementById("live-acts").hidden = false;
  tell();
  watch();
})();
