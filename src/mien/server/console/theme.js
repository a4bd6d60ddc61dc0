// Runs before the page is drawn, so that a chosen look does not flash up late. Not a module: modules wait.
(() => {
  const chosen = localStorage.getItem("mien.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
