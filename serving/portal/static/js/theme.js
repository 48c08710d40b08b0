// Before the first paint: the theme that was chosen here. Not a module, so that it does not wait.
try {
  const chosen = localStorage.getItem("waymark.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch { /* Storage may be forbidden: the system's theme stays. */ }
