// How the page is built: relative addresses, one chunk a route, nothing inline (the server forbids inline code).
import { fileURLToPath } from "node:url";
import vue from "@vitejs/plugin-vue";
import { ElementPlusResolver } from "unplugin-vue-components/resolvers";
import components from "unplugin-vue-components/vite";
import { defineConfig } from "vitest/config";

const SERVER = process.env.MJ_SERVER ?? "http://127.0.0.1:5006";

export default defineConfig({
  base: "./",
  plugins: [vue(), components({ dts: false, dirs: [], resolvers: [ElementPlusResolver({ importStyle: "css" })] })],
  resolve: { alias: { "@": fileURLToPath(new URL("./src", import.meta.url)) } },
  define: { __VUE_OPTIONS_API__: false, __VUE_PROD_DEVTOOLS__: false, __INTLIFY_PROD_DEVTOOLS__: false, __VUE_I18N_LEGACY_API__: false },
  build: {
    outDir: "../static",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    chunkSizeWarningLimit: 900,
    target: "es2022",
    manifest: "manifest.json",
  },
  server: { proxy: { "/api": SERVER } },
  test: { include: ["test/**/*.test.ts"] },
});
