/** What we use of npm's `ws`. */
declare module 'ws' {
  import type { Duplex } from 'node:stream';
  class WebSocket {
    static readonly OPEN: number;
    constructor(url: string, options?: object);
    readonly bufferedAmount: number;
    readonly readyState: number;
    binaryType: string;
    /** Not documented; used only if it is there. */
    readonly _socket?: Duplex;
    send(data: Uint8Array): void;
    ping(): void;
    close(code?: number): void;
    terminate(): void;
    on(event: 'open' | 'ping' | 'pong', listener: () => void): this;
    on(event: 'message', listener: (data: Uint8Array) => void): this;
    on(event: 'error', listener: (error: Error & { code?: string }) => void): this;
    on(event: 'close', listener: (code: number) => void): this;
    on(event: 'unexpected-response', listener: (request: unknown, response: { statusCode?: number }) => void): this;
  }
  export { WebSocket };
  export default WebSocket;
}
