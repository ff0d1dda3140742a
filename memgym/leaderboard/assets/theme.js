// The button that changes between the system's theme, light and dark; kept between pages if the
// browser keeps anything.
(() => {
  const themes = ["system", "light", "dark"];
  const button = document.getElementById("theme");
  let kept = "system";
  try { kept = localStorage.getItem("memgym-theme") || kept; } catch { /* storage is switched off */ }
  const show = (theme) => {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.querySelector("span").textContent = theme;
  };
  let theme = themes.includes(kept) ? kept : "system";
  show(theme);
  button.hidden = false;
  button.addEventListener("click", () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    try { localStorage.setItem("memgym-theme", theme); } catch { /* as above */ }
    show(theme);
  });
})();
