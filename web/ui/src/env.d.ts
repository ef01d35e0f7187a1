/// <reference types="vite/client" />
declare module "element-plus/es/locale/lang/en" {
  const words: { name: string; el: Record<string, never> };
  export default words;
}
declare module "element-plus/es/locale/lang/zh-cn" {
  const words: { name: string; el: Record<string, never> };
  export default words;
}
