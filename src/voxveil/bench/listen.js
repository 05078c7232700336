"use strict";
(() => {
  const { test, asked, questions } = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const random = (below) => crypto.getRandomValues(new Uint32Array(1))[0] % below;
  const listener = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");

  // Each listener has an order of his own; kinds stay together, so that a question is understood once.
  const order = [];
  for (const kind of Object.keys(asked)) {
    const mine = questions.filter((question) => question.kind === kind);
    for (let last = mine.length - 1; last > 0; last--) {
      const other = random(last + 1);
      [mine[last], mine[other]] = [mine[other], mine[last]];
    }
    order.push(...mine);
  }

  const answers = {};
  const heard = {};
  let place = -1;
  let saved = false;

  const made = (tag, properties, ...inside) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...inside);
    return element;
  };

  const showPlace = () => {
    at("bar").max = order.length;
    at("bar").value = Object.keys(answers).length;
    at("place").textContent = `${Object.keys(answers).length} of ${order.length} answered`;
  };

  const show = () => {
    at("alert").textContent = "";
    at("back").hidden = place === 0;
    showPlace();
    if (place === order.length) {
      at("title").textContent = "Thank you";
      at("question").replaceChildren(
        made("p", { textContent: "Every question is answered. Save your answers and send the file to whoever asked you." }));
      at("next").textContent = "Save answers";
    } else {
      const { id, kind, sounds } = order[place];
      const [words, names, choices] = asked[kind];
      at("title").textContent = `Question ${place + 1} of ${order.length}`;
      const players = names.map((name, index) => {
        const source = `data:audio/flac;base64,${sounds[index]}`;
        const player = made("audio", { controls: true, src: source, preload: "auto", ariaLabel: name });
        player.addEventListener("play", () => {
          (heard[id] ??= new Set()).add(index);
          document.querySelectorAll("audio").forEach((other) => other === player || other.pause());
        });
        return made("p", {}, made("span", { textContent: name[0].toUpperCase() + name.slice(1) }), player);
      });
      const choice = ([value, label], index) => {
        const radio = made("input", { type: "radio", name: "answer", value, checked: answers[id] === value });
        radio.addEventListener("change", () => { answers[id] = value; saved = false; showPlace(); });
        return made("label", {}, radio, ` ${index + 1}. ${label}`);
      };
      at("question").replaceChildren(
        ...players, made("fieldset", {}, made("legend", { textContent: words }), ...choices.map(choice)));
      at("next").textContent = "Next";
    }
    at("title").focus();
  };

  const missing = () => {
    const { id, kind } = order[place];
    const unheard = asked[kind][1].find((_, index) => !heard[id]?.has(index));
    if (unheard) return `Listen to the ${unheard} first.`;
    return id in answers ? "" : "Choose an answer first.";
  };

  const save = () => {
    const text = JSON.stringify({ test, listener, answers }, null, 1);
    const link = made("a", { href: URL.createObjectURL(new Blob([text], { type: "application/json" })) });
    link.download = `answers-${listener}.json`;
    link.click();
    saved = true;
    at("alert").textContent = `Saved as ${link.download}.`;
  };

  at("form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (place === order.length) { save(); return; }
    const wanted = place < 0 ? "" : missing();
    if (wanted) { at("alert").textContent = wanted; return; }
    place++;
    show();
  });
  at("back").addEventListener("click", () => { place--; show(); });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const radios = document.querySelectorAll("input[name=answer]");
    const number = Number(event.key);
    if (number >= 1 && number <= radios.length) { radios[number - 1].click(); radios[number - 1].focus(); }
  });
  window.addEventListener("beforeunload", (event) => {
    if (Object.keys(answers).length && !saved) event.preventDefault();
  });
  showPlace();
})();
