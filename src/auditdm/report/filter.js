"use strict";
// Narrows the list of failure groups by a word. The page is whole without it.
const box = document.getElementById("filter");
const groups = [...document.querySelectorAll("ol.groups > li")];
if (box && groups.length > 8) {
  const told = document.querySelector(".filter output");
  box.closest("p").hidden = false;
  box.addEventListener("input", () => {
    const word = box.value.trim().toLowerCase();
    for (const group of groups) group.hidden = !group.textContent.toLowerCase().includes(word);
    told.textContent = `${groups.filter((group) => !group.hidden).length} of ${groups.length}`;
  });
}
