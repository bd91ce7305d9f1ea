// What makes the pages smoother. Everything works without it: forms are sent, pages are loaded.
(() => {
  "use strict";
  const root = document.documentElement;

  // Times in the reader's own zone, and language unless one was chosen on the page.
  const language = "chosen" in root.dataset ? root.lang : navigator.language;
  const shape = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });
  const showTimes = (within) => {
    for (const time of within.querySelectorAll("time[datetime]")) {
      time.textContent = shape.format(new Date(time.dateTime));
    }
  };

  // A form is sent once: its buttons rest until the answer is there.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.dataset.sent) {
      event.preventDefault();
      event.stopImmediatePropagation();
      return;
    }
    form.dataset.sent = "yes";
  }, true);
  const rest = () => {
    for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
  };
  window.addEventListener("pageshow", rest);
  document.addEventListener("htmx:afterRequest", rest);

  // The answer to a form is loaded again, and come back to, by an address that asks for the page anew.
  if ("address" in root.dataset) history.replaceState(null, "", root.dataset.address);

  // What was said about an action is not said again when the page is loaded again.
  const address = new URL(location.href);
  if (address.searchParams.has("done")) {
    address.searchParams.delete("done");
    history.replaceState(null, "", address);
  }

  // A key that a link brings along as its fragment, which is never sent: it is handed on past the
  // page that opens the link, and put into the field for it.
  const brought = location.hash.slice(1);
  const opening = document.querySelector("form[data-keep-fragment]");
  const field = document.getElementById("code");
  if (opening) opening.setAttribute("action", opening.getAttribute("action") + location.hash);
  if (field && !field.value && brought.length <= field.maxLength) field.value = brought;
  if (brought && field) history.replaceState(null, "", location.pathname + location.search);

  // What came in: times, a dialog that opens, the message or field that is to be read first.
  const arrive = (within) => {
    showTimes(within);
    offerCopies(within);
    const dialog = within.closest("dialog");
    if (dialog && !dialog.open && within.childElementCount) dialog.showModal();
    const first = within.querySelector("[data-focus]");
    if (first) first.focus();
  };
  document.addEventListener("htmx:afterSwap", (event) => {
    arrive(event.target.isConnected ? event.target : document.body);
  });
  document.addEventListener("click", (event) => {
    const closer = event.target.closest("[data-close]");
    const dialog = closer && closer.closest("dialog");
    if (dialog) {
      event.preventDefault();
      dialog.close();
    }
  });

  // Whether what is typed looks like a key, told while typing; the server has the last word.
  document.addEventListener("input", (event) => {
    const field = event.target;
    if (!("prefix" in field.dataset)) return;
    const hint = document.getElementById("code-hint");
    // As ledger/codes.py reads it: dashes and spaces may be left out, quotes and the like fall away.
    const typed = field.value.normalize("NFKC").replace(/[\p{Cc}\p{Cf}\p{Pi}\p{Pf}"'`´]/gu, "")
      .replace(/[\p{Pd}\s−ー]/gu, "").toUpperCase();
    const own = field.dataset.prefix;
    const fits = /^[A-Z]{2,8}[A-Z2-9]{12}$/.test(typed);
    const other = !typed.startsWith(own.slice(0, typed.length)) || (fits && typed.length !== own.length + 12);
    hint.textContent = other ? field.dataset.other : fits ? field.dataset.fits : field.dataset.misfits;
    if (typed) field.setAttribute("aria-invalid", String(other || !fits));
    else field.removeAttribute("aria-invalid");
  });

  // What is to be put elsewhere is copied, where the browser may.
  const offerCopies = (within) => {
    for (const button of within.querySelectorAll("[data-copy]")) button.hidden = !navigator.clipboard;
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) navigator.clipboard.writeText(document.getElementById(button.dataset.copy).value);
  });

  // A file that cannot be a certificate is not sent.
  document.addEventListener("change", (event) => {
    const field = event.target;
    if (!("bytesMax" in field.dataset)) return;
    const large = [...field.files].some((file) => file.size > Number(field.dataset.bytesMax));
    field.setCustomValidity(large ? field.dataset.tooLarge : "");
  });

  arrive(document.body);
})();
