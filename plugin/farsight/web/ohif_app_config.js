// OHIF's configuration as Farsight serves it at app-config.js. `farsight` is filled in by the
// server: {"routerBasename": "/ohif/", "dicomwebRoot": "/dicom-web", "storing": true}.
window.config = (function (farsight) {
  const dicomweb = window.location.origin + farsight.dicomwebRoot;
  let services = null;

  const ofStoring = [409, 413, 415, 507];

  function explanationOf(error) {
    const [, words] = /"(.*?)"/.exec(error.request?.getResponseHeader?.('Warning') ?? '') ?? [];
    let said = error.response;
    try {
      if (typeof said === 'string') said = JSON.parse(said);
    } catch {} // an answer of somebody else's
    return words ?? said?.error ?? 'A DICOMweb request failed.';
  }

  // Orthanc does not tell /ohif from /ohif/; OHIF's router only knows the latter.
  if (window.location.pathname + '/' === farsight.routerBasename) {
    const { search, hash } = window.location;
    window.history.replaceState(null, '', farsight.routerBasename + search + hash);
  }

  return {
    name: 'farsight',
    // With the trailing slash: OHIF addresses its logo relative to the study list's page.
    routerBasename: farsight.routerBasename,
    extensions: [
      {
        id: 'farsight',
        // Show the first image once its own series is known, not after all of the study.
        // Extensions register in order and ours come last: 'default' is there already.
        preRegistration({ servicesManager }) {
          services = servicesManager.services;
          const protocol = services.hangingProtocolService.getProtocolById('default');
          protocol.hpInitiationCriteria = { minSeriesLoaded: 1 };
        },
      },
    ],
    modes: [],
    customizationService: {},
    showStudyList: true,
    investigationalUseDialog: { option: 'never' }, // 'always', or { option: 'configure', days: 30 }
    maxNumberOfWebWorkers: 3,
    showWarningMessageForCrossOrigin: true,
    showCPUFallbackMessage: true,
    showLoadingIndicator: true,
    experimentalStudyBrowserSort: false,
    strictZSpacingForVolumeViewport: true,
    groupEnabledModesFirst: true,
    allowMultiSelectExport: false,
    maxNumRequests: { interaction: 100, thumbnail: 5, prefetch: 25 },
    showErrorDetails: 'always',
    defaultDataSourceName: 'farsight',
    dataSources: [
      {
        namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
        sourceName: 'farsight',
        configuration: {
          friendlyName: 'Farsight',
          name: 'farsight',
          qidoRoot: dicomweb,
          wadoRoot: dicomweb,
          wadoUriRoot: dicomweb,
          qidoSupportsIncludeField: true,
          supportsReject: false,
          supportsFuzzyMatching: false,
          supportsWildcard: true,
          staticWado: false,
          enableStudyLazyLoad: true,
          imageRendering: 'wadors',
          // One picture of each series from the server; 'wadors' would decode frames of all series
          // here, and have every one of them fetched from the PACS. Only 'fetch' asks for an image.
          thumbnailRendering: 'thumbnail',
          thumbnailRequestStrategy: 'fetch',
          singlepart: 'bulkdata,video',
          bulkDataURI: { enabled: true, relativeResolution: 'studies' },
          omitQuotationForMultipartRequest: true,
          dicomUploadEnabled: farsight.storing,
        },
      },
    ],
    // A series that fails is missing from the screen, a file that is refused from the archive: say
    // so, and why.
    httpErrorHandler(error) {
      const explanation = explanationOf(error);
      console.warn('DICOMweb request failed with status', error.status);
      services?.uiNotificationService.show({
        title: ofStoring.includes(error.status) ? 'Not stored' : 'Images may be missing',
        message: `${explanation} (status ${error.status})`,
        type: 'error',
        duration: 20000, // milliseconds; OHIF's own is 2000, and it shows a repeated message once
      });
    },
  };
})(FARSIGHT_SETTINGS);
