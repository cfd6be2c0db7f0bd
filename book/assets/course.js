// Small repairs for keyboards and screen readers; the page reads without them too.
(function () {
  "use strict";
  function repair() {
    // What scrolls must be reachable by keyboard.
    for (const box of document.querySelectorAll(
      ".pst-scrollable-table-container, .course-drawing, div.cell_output, div.highlight pre, .output.text_html"
    )) {
      if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    }
  }
  if (document.readyState === "complete") repair();
  else window.addEventListener("load", repair);
  window.addEventListener("resize", repair);
})();
