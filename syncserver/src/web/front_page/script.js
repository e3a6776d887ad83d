
"use strict";
// The page works without this. It adds the state of the server, buttons that copy, and a warning.
(() => {
  const byId = (id) => document.getElementById(id);
  const here = location.origin + location.pathname.replace(/\/+$/, "");

  // Another address than the one that clients sign for is the usual reason why nothing syncs.
  const sameMachine = (host) => host.replace(/^(localhost|\[::1\])$/, "127.0.0.1");
  const plain = (text) => {
    const url = new URL(text);
    return url.protocol + "//" + sameMachine(url.hostname) + ":" + url.port + url.pathname.replace(/\/+$/, "");
  };
  if (plain(here) !== plain(document.body.dataset.publicUrl)) {
    byId("here").textContent = here;
    byId("setting").textContent = "SYNC_PUBLIC_URL=" + here;
    byId("elsewhere").hidden = false;
  }

  const health = byId("health");
  const tell = (className, text) => {
    health.className = className;
    health.textContent = text;
  };
  fetch(here + "/__heartbeat__", { cache: "no-store" })
    .then((answer) => answer.json())
    .then((state) => {
      if (state.status === "Ok") tell("well", "Running well");
      else if (state.status === "Err") tell("ill", "Its database does not answer");
      else throw new Error("no heartbeat");
    })
    .catch(() => tell("ill", "It does not say how it is"));

  const said = byId("said");
  let fading;
  const say = (text) => {
    clearTimeout(fading);
    said.textContent = text;
    fading = setTimeout(() => { said.textContent = ""; }, 4000);
  };

  // Only pages that came by https or from this machine may write to the clipboard directly.
  const copyBySelection = (element) => {
    getSelection().selectAllChildren(element);
    let copied = false;
    try { copied = document.execCommand("copy"); } catch { /* Then it is selected, at least. */ }
    return copied;
  };
  const copy = async (element) => {
    const text = element.textContent;
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      return copyBySelection(element);
    }
  };
  for (const button of document.querySelectorAll("button[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const element = byId(button.dataset.copy);
      say(await copy(element) ? "Copied: " + element.textContent : "It is selected now: copy it with Ctrl+C or ⌘C.");
    });
  }
})();
