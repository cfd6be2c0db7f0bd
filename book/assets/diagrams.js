// Draw the page's mermaid diagrams in the page's own colours, and again when these change.
(function () {
  "use strict";
  const root = document.documentElement;
  const diagrams = [];
  let drawn = 0;

  function colour(name) {
    return getComputedStyle(root).getPropertyValue(name).trim();
  }

  function configure() {
    mermaid.initialize({
      startOnLoad: false,
      securityLevel: "strict",
      theme: "base",
      fontFamily: getComputedStyle(document.body).fontFamily,
      flowchart: { htmlLabels: true, curve: "basis", nodeSpacing: 55, rankSpacing: 60 },
      themeVariables: {
        darkMode: root.dataset.theme === "dark",
        fontFamily: getComputedStyle(document.body).fontFamily,
        fontSize: "16px",
        background: colour("--course-raised"),
        primaryColor: colour("--course-accent-soft"),
        primaryBorderColor: colour("--course-accent"),
        primaryTextColor: colour("--course-ink"),
        secondaryColor: colour("--course-warm-soft"),
        tertiaryColor: colour("--course-sunken"),
        lineColor: colour("--course-soft"),
        textColor: colour("--course-ink"),
        clusterBkg: colour("--course-sunken"),
        clusterBorder: colour("--course-line"),
        edgeLabelBackground: colour("--course-raised"),
      },
    });
  }

  async function draw() {
    await document.fonts.ready;
    const theme = root.dataset.theme; // it may change while the diagrams are drawn, one after the other
    configure();
    for (const diagram of diagrams) {
      drawn += 1;
      const { svg } = await mermaid.render("course-diagram-" + drawn, diagram.source);
      diagram.place.innerHTML = svg;
      // The place itself is the image and has the words; what is inside is not read a second time.
      diagram.place.firstElementChild.setAttribute("aria-hidden", "true");
      diagram.place.firstElementChild.removeAttribute("role");
      diagram.place.firstElementChild.removeAttribute("aria-roledescription");
      diagram.place.dataset.drawn = theme;
    }
  }

  let waiting = Promise.resolve();
  function start() {
    for (const place of document.querySelectorAll(".course-drawing")) {
      diagrams.push({ place: place, source: place.textContent });
    }
    let theme = root.dataset.theme;
    waiting = waiting.then(draw);
    new MutationObserver(function () {
      if (root.dataset.theme !== theme) {
        theme = root.dataset.theme;
        waiting = waiting.then(draw);
      }
    }).observe(root, { attributes: true, attributeFilter: ["data-theme"] });
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
