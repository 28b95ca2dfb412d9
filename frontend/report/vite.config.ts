import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const out = process.env["REPORT_ASSETS"] ?? fileURLToPath(new URL("../../chaos/report/assets", import.meta.url));

// One script and one style sheet, under fixed names: chaos/report puts them into the
// page byte for byte and their hashes into its policy.
export default defineConfig({
  build: {
    outDir: out,
    emptyOutDir: false,
    target: ["chrome125", "firefox128", "safari17.5"],
    copyPublicDir: false,
    lib: {
      entry: fileURLToPath(new URL("src/main.ts", import.meta.url)),
      name: "report",
      formats: ["iife"],
      fileName: () => "report.js",
      cssFileName: "report",
    },
  },
  test: {
    environment: "jsdom",
    include: ["test/**/*.test.ts"],
    coverage: { include: ["src/**/*.ts"], reporter: ["text", "html"] },
  },
});
