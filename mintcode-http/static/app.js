// Makes the progress page live. Everything it shows is rendered by the server: on each change the page is fetched
// again and its middle is put in place, so the page says the same with and without this script.
(() => {
  "use strict";
  const live = document.getElementById("live");
  if (!live) return;
  const say = document.getElementById("say");
  const POLL_MS = 2000;

  let offset = 0;
  let fetching = false;
  let again = false;
  let spoken = words();

  function words() {
    return [...live.querySelectorAll("[data-say]")].map((node) => node.textContent.trim()).join(" ");
  }

  function settle() {
    offset = Date.parse(live.dataset.now) - Date.now();
    for (const button of live.querySelectorAll("[data-copy]")) button.hidden = false;
    const said = words();
    if (said !== spoken) {
      spoken = said;
      say.textContent = said;
    }
    tick();
  }

  // What a card says, without what changes by itself here.
  function content(card) {
    const copy = card.cloneNode(true);
    for (const node of copy.querySelectorAll("[data-until]")) node.textContent = "";
    for (const node of copy.querySelectorAll("details")) node.open = false;
    for (const button of copy.querySelectorAll("[data-copy]")) {
      button.hidden = true;
      button.textContent = "";
    }
    return copy.outerHTML;
  }

  // A card without news stays, and with it what the reader has selected in it. The address names the cards, so they
  // are the same ones in the same order.
  function replace(fresh) {
    const news = [...fresh.querySelectorAll("[data-id]")];
    for (const [at, card] of [...live.querySelectorAll("[data-id]")].entries()) {
      if (!news[at] || content(card) === content(news[at])) continue;
      const messages = news[at].querySelector("details");
      if (messages && card.querySelector("details[open]")) messages.open = true;
      card.replaceWith(news[at]);
    }
  }

  async function refresh() {
    if (fetching) {
      again = true;
      return;
    }
    fetching = true;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
      if (answer.ok) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const fresh = page.getElementById("live");
        if (fresh) {
          const focused = document.activeElement && document.activeElement.id;
          replace(fresh);
          Object.assign(live.dataset, fresh.dataset);
          settle();
          if (focused) document.getElementById(focused)?.focus();
        }
      }
    } catch {
      // The network is away; the next change or the next look tries again.
    }
    fetching = false;
    if (again) {
      again = false;
      refresh();
    }
  }

  const reached = new Set();
  function tick() {
    for (const node of live.querySelectorAll("[data-until]")) {
      const left = Math.max(0, Math.ceil((Date.parse(node.dataset.until) - Date.now() - offset) / 1000));
      node.textContent = Math.floor(left / 60) + ":" + String(left % 60).padStart(2, "0");
      if (left === 0 && !reached.has(node.dataset.until)) {
        reached.add(node.dataset.until);
        setTimeout(refresh, 500);
      }
    }
  }

  async function copy(button) {
    const text = button.dataset.copy;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Without a secure connection there is no clipboard object.
      const field = document.createElement("textarea");
      field.value = text;
      document.body.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
      button.focus();
    }
    const label = button.textContent;
    button.textContent = live.dataset.copied;
    say.textContent = live.dataset.copied;
    setTimeout(() => { button.textContent = label; }, 1500);
  }

  live.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) copy(button);
  });

  const isLive = () => live.dataset.live === "true";
  const cards = live.querySelectorAll("[data-id]");
  let stream = null;
  if (cards.length === 1 && isLive() && "EventSource" in window) {
    stream = new EventSource("/redeem/" + cards[0].dataset.id + "/events");
    stream.addEventListener("redemption", refresh);
  }
  // Several redemptions are looked at together: browsers hold only a few streams open at once.
  setInterval(() => {
    if (isLive() && (!stream || stream.readyState !== EventSource.OPEN)) refresh();
  }, POLL_MS);
  setInterval(tick, 1000);
  addEventListener("pageshow", (event) => { if (event.persisted) refresh(); });
  settle();
})();
