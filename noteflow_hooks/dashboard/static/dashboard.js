// What the pages do beyond links and forms. All of it may be missing: nothing else depends on it.
"use strict";

(() => {
  const every = 2000;
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // Times: the reader's own, with UTC on hover; how long ago, kept true.
  const parts = { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" };
  const thisYear = new Intl.DateTimeFormat(undefined, parts);
  const otherYear = new Intl.DateTimeFormat(undefined, { year: "numeric", ...parts });
  const clock = { hour: "2-digit", minute: "2-digit" };
  const day = { month: "short", day: "numeric" };
  // Of charts.
  const kinds = {
    day: new Intl.DateTimeFormat(undefined, day),
    time: new Intl.DateTimeFormat(undefined, clock),
    both: new Intl.DateTimeFormat(undefined, { ...day, ...clock }),
  };
  const local = (moment) =>
    (new Date(moment).getFullYear() === new Date().getFullYear() ? thisYear : otherYear).format(moment);

  function ago(moment) {
    const seconds = (Date.now() - moment) / 1000;
    const length = Math.abs(seconds);
    if (length < 1) return "now";
    const [size, unit] = units.find(([each]) => length >= each);
    const counted = `${Math.floor(length / size)} ${unit}`;
    return seconds > 0 ? `${counted} ago` : `in ${counted}`;
  }

  function setTimes(root) {
    for (const time of all("time[datetime]", root)) {
      const moment = new Date(time.dateTime);
      if (!time.title) {
        time.title = time.textContent;
        const kind = kinds[time.dataset.kind];
        time.textContent = kind ? kind.format(moment) : local(moment);
      }
      const beside = time.nextElementSibling;
      if (beside && beside.className === "ago") beside.textContent = ago(moment);
    }
  }

  // Times that are typed are the reader's own, too. What is sent, and stands in addresses, is UTC.
  const seconds = (moment) => moment.toISOString().slice(0, 19);
  for (const field of all("input[type=datetime-local]")) {
    const moment = new Date(`${field.value}Z`);
    if (field.value) field.value = seconds(new Date(moment - moment.getTimezoneOffset() * 60000));
    field.labels[0].querySelector("[data-zone]").textContent = "(your time)";
  }
  // A day of the reader's own, for a form with two such fields; without JavaScript its link is a day of UTC.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-day]");
    if (!link) return;
    event.preventDefault();
    const now = new Date();
    for (const [name, later] of [["created_after", 0], ["created_before", 1]]) {
      const midnight = new Date(now.getFullYear(), now.getMonth(), now.getDate() + Number(link.dataset.day) + later);
      document.querySelector(`form.sheet [name=${name}]`).value = seconds(new Date(midnight - midnight.getTimezoneOffset() * 60000));
    }
  });
  document.addEventListener("formdata", (event) => {
    for (const field of all("input[type=datetime-local]", event.target)) {
      if (field.value) event.formData.set(field.name, seconds(new Date(field.value)));
    }
  });

  function setCopies(root) {
    for (const button of all("[data-copy]", root)) button.hidden = !navigator.clipboard;
  }

  // What a link leads to is copied; without JavaScript, or with a key held, it is opened.
  document.addEventListener("click", async (event) => {
    const link = event.target.closest("a[data-copied]");
    if (!link || !navigator.clipboard || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const words = link.textContent;
    const answer = await fetch(link.href, { cache: "no-store" });
    if (answer.ok) await navigator.clipboard.writeText(await answer.text());
    link.textContent = answer.ok ? "Copied" : "Could not be copied";
    setTimeout(() => { link.textContent = words; }, 1500);
  });

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });

  // Selection.
  const selection = document.getElementById("selection");
  const ticks = () => all("input[name=delivery_id]");

  function countSelected() {
    const count = ticks().filter((each) => each.checked).length;
    document.getElementById("selected").textContent = count ? ` (${count})` : "";
  }

  if (selection) {
    const button = document.getElementById("all");
    button.hidden = false;
    button.addEventListener("click", () => {
      const on = ticks().some((each) => !each.checked);
      for (const each of ticks()) each.checked = on;
      countSelected();
    });
    document.addEventListener("change", (event) => { if (event.target.name === "delivery_id") countSelected(); });
    countSelected();
  }

  // The age goes on without being read out each time.
  function showAway(banner, since) {
    const age = banner.querySelector("span") || document.createElement("span");
    age.ariaHidden = "true";
    age.textContent = `, ${ago(since)}.`;
    if (!banner.hidden) return;
    banner.replaceChildren(document.createTextNode(`The server is away. What you see is from ${local(since)}`), age);
    banner.hidden = false;
  }

  // Live: the same page again, and of it what has changed. What has the focus or is open stays as it is.
  const rows = document.querySelector("[data-rows]");
  const fresh = document.getElementById("fresh");
  const away = document.getElementById("away");
  const isFirst = !new URLSearchParams(location.search).has("page_token");
  let tag = document.documentElement.dataset.tag ? `"${document.documentElement.dataset.tag}"` : null;
  let shownAt = Date.now();
  let waiting = [];
  let asking = false;

  const isSelected = (element) => !getSelection().isCollapsed && getSelection().containsNode(element, true);
  const isBusy = (element) =>
    element.contains(document.activeElement) || element.querySelector("details[open]") !== null || isSelected(element);

  function replace(before, after) {
    // By what the server has sent, since times are put into the reader's own words here.
    if (before.served === after.outerHTML) return before;
    const served = after.outerHTML;
    const made = document.importNode(after, true);
    made.served = served;
    const ticked = before.querySelector("input[type=checkbox]");
    const tick = made.querySelector("input[type=checkbox]");
    if (tick && ticked) tick.checked = ticked.checked;
    before.replaceWith(made);
    setTimes(made);
    setCopies(made);
    return made;
  }

  function takeRows(page) {
    const now = page.querySelector("[data-rows]");
    if (!now) return;
    if (!rows) { if (isFirst) offer(now.rows.length, () => location.reload()); return; }
    const seen = new Set(all("tr", rows).map((each) => each.id));
    for (const row of all("tr", now)) {
      const mine = document.getElementById(row.id);
      if (mine && rows.contains(mine) && !isBusy(mine)) replace(mine, row);
    }
    waiting = isFirst ? all("tr", now).filter((each) => each.id && !seen.has(each.id)) : [];
    offer(waiting.length, showRows);
  }

  function offer(count, show) {
    fresh.hidden = count === 0;
    fresh.textContent = `${count} new`;
    fresh.onclick = show;
  }

  function showRows() {
    for (const row of [...waiting].reverse()) {
      const made = document.importNode(row, true);
      made.served = row.outerHTML;
      made.classList.add("new");
      rows.prepend(made);
      setTimes(made);
    }
    const first = rows.querySelector("a.row");
    waiting = [];
    fresh.hidden = true;
    if (first) first.focus({ preventScroll: true });
  }

  function takeParts(page) {
    for (const part of all("[data-live]")) {
      const now = page.getElementById(part.id);
      if (now && now.hasAttribute("data-live") && !isBusy(part)) replace(part, now);
    }
  }

  function tellAway() {
    showAway(away, shownAt);
  }

  // What is shown goes with the session; the way back leads to the page again, for who is signed in.
  const endPage = () => location.assign("/sign-in?why=over");

  async function look() {
    if (asking || document.visibilityState !== "visible") return;
    asking = true;
    try {
      const headers = { "X-Live": "1" };
      if (tag) headers["If-None-Match"] = tag;
      const answer = await fetch(location.pathname + location.search, { headers, cache: "no-store", redirect: "manual" });
      if (answer.status === 401) { endPage(); return; }
      if (!answer.ok && answer.status !== 304) { tellAway(); return; }
      shownAt = Date.now();
      away.hidden = true;
      if (answer.status === 304) return;
      tag = answer.headers.get("ETag");
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      takeParts(page);
      takeRows(page);
    } catch {
      tellAway();
    } finally {
      asking = false;
    }
  }

  // Keys: off where something is typed, with other keys held, and where the reader has switched them off.
  const off = document.getElementById("keys-off");
  const areOff = () => localStorage.getItem("keys") === "off";
  if (off) {
    off.checked = areOff();
    off.addEventListener("change", () => localStorage.setItem("keys", off.checked ? "off" : "on"));
  }
  let going = false;

  function move(by) {
    const links = all("table.rows a.row");
    const here = links.findIndex((each) => each.closest("tr").contains(document.activeElement));
    const next = links[here < 0 ? (by > 0 ? 0 : links.length - 1) : Math.min(Math.max(here + by, 0), links.length - 1)];
    if (next) next.focus();
  }

  const keys = {
    "/": () => { const box = document.getElementById("find"); if (box) { box.focus(); box.select(); } },
    j: () => move(1),
    k: () => move(-1),
    x: () => {
      const row = document.activeElement.closest("tr");
      const tick = row && row.querySelector("input[type=checkbox]");
      if (tick) tick.click();
    },
    r: () => {
      const button = document.querySelector("[data-key=r]");
      if (button && (!selection || ticks().some((each) => each.checked))) button.click();
    },
    p: () => { const button = document.getElementById("pause"); if (button) button.click(); },
    "?": () => { const help = document.querySelector("[data-help]"); if (help) help.click(); },
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || areOff()) return;
    if (event.target.closest("input:not([type=checkbox]), textarea, select")) return;
    if (going) {
      going = false;
      const link = document.querySelector(`[data-go="${CSS.escape(event.key)}"]`);
      if (link) { event.preventDefault(); link.click(); }
      return;
    }
    if (event.key === "g") { going = true; setTimeout(() => { going = false; }, 1500); return; }
    if (Object.hasOwn(keys, event.key)) { event.preventDefault(); keys[event.key](); }
  });

  // What other scripts of ours use.
  window.hooks = { all, endPage, local, setTimes, showAway };

  // The first look compares with what the server has sent, not with what is made of it here.
  for (const each of all("[data-live], [data-rows] tr")) each.served = each.outerHTML;
  setTimes(document);
  setCopies(document);
  setInterval(() => setTimes(document), 10000);
  if (new URLSearchParams(location.search).has("done")) {
    const here = new URL(location.href);
    here.searchParams.delete("done");
    history.replaceState(null, "", here);
  }
  if (rows || document.querySelector("[data-live]")) {
    setInterval(look, every);
    document.addEventListener("visibilitychange", look);
  }
})();
