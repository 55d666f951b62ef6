// Calls one method of dicomweb-client, as a browser would, and prints what comes back as JSON.
// usage: node call.mjs NODE_MODULES '{"client": {url, ...}, "method": "...", "options": {...}}'
//
// Bytes go in and come back as {"bytes": "<base64>"}, a request that failed comes back as
// {"status": 404}, and what the client itself refuses to ask for as {"refused": "<why>"}.
import { createRequire } from 'node:module';

const [, , nodeModules, call] = process.argv;
const require = createRequire(`${nodeModules}/`);
globalThis.XMLHttpRequest = require('xhr2').XMLHttpRequest;
const { DICOMwebClient } = require('dicomweb-client').api;

function printable(value) {
  if (value instanceof ArrayBuffer) return { bytes: Buffer.from(value).toString('base64') };
  if (Array.isArray(value)) return value.map(printable);
  return value;
}

function revived(key, value) {
  if (typeof value?.bytes !== 'string') return value;
  return Uint8Array.from(Buffer.from(value.bytes, 'base64')).buffer;
}

async function answer({ client, method, options }) {
  try {
    return printable(await new DICOMwebClient({ verbose: false, ...client })[method](options));
  } catch (error) {
    return 'status' in error ? { status: error.status } : { refused: error.message };
  }
}

console.debug = () => {}; // the client talks to standard output
const found = await answer(JSON.parse(call, revived));
process.stdout.write(JSON.stringify(found));
