"""Which attribute belongs to which Query/Retrieve level, and which ones every answer carries.

The required lists are tables 10.6.3-3, -4 and -5 of PS3.18; the lists of what a level can hold
are the optional keys of PS3.4 C.6.1.1 and C.6.2.1, that is the patient, study, series, equipment
and frame of reference modules of PS3.3. Everything else is an instance's.
"""

from __future__ import annotations

from functools import lru_cache

from farsight.model import Level
from farsight.ps318.attribute_id import is_private, tag_of

SPECIFIC_CHARACTER_SET = "00080005"
SOP_CLASS_UID = "00080016"
SOP_INSTANCE_UID = "00080018"
STUDY_DATE = "00080020"
ACCESSION_NUMBER = "00080050"
STUDY_TIME = "00080030"
QUERY_RETRIEVE_LEVEL = "00080052"
RETRIEVE_AE_TITLE = "00080054"
INSTANCE_AVAILABILITY = "00080056"
MODALITY = "00080060"
MODALITIES_IN_STUDY = "00080061"
TIMEZONE_OFFSET_FROM_UTC = "00080201"
RETRIEVE_URL = "00081190"
PATIENT_NAME = "00100010"
PATIENT_ID = "00100020"
PATIENT_BIRTH_DATE = "00100030"
STUDY_INSTANCE_UID = "0020000D"
SERIES_INSTANCE_UID = "0020000E"
SERIES_NUMBER = "00200011"
INSTANCE_NUMBER = "00200013"
NUMBER_OF_STUDY_RELATED_SERIES = "00201206"
NUMBER_OF_STUDY_RELATED_INSTANCES = "00201208"
NUMBER_OF_SERIES_RELATED_INSTANCES = "00201209"

LEVELS = (Level.STUDY, Level.SERIES, Level.IMAGE)

#: The unique key of each level (PS3.4 C.6.2.1).
UNIQUE_KEY = {
    Level.STUDY: STUDY_INSTANCE_UID,
    Level.SERIES: SERIES_INSTANCE_UID,
    Level.IMAGE: SOP_INSTANCE_UID,
}


def _tags(keywords: str) -> tuple[str, ...]:
    return tuple(tag_of(keyword) for keyword in keywords.split())


#: Always in an answer, empty where unknown (type R and U).
REQUIRED = {
    Level.STUDY: _tags(
        "StudyDate StudyTime AccessionNumber ModalitiesInStudy ReferringPhysicianName PatientName"
        " PatientID PatientBirthDate PatientSex StudyInstanceUID StudyID"
        " NumberOfStudyRelatedSeries NumberOfStudyRelatedInstances"
    ),
    Level.SERIES: _tags(
        "Modality StudyInstanceUID SeriesInstanceUID SeriesNumber NumberOfSeriesRelatedInstances"
    ),
    Level.IMAGE: _tags(
        "SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID InstanceNumber"
    ),
}

#: In an answer where a source knows them (type C).
IF_KNOWN = {
    Level.STUDY: _tags("InstanceAvailability TimezoneOffsetFromUTC"),
    Level.SERIES: _tags(
        "InstanceAvailability TimezoneOffsetFromUTC SeriesDescription"
        " PerformedProcedureStepStartDate PerformedProcedureStepStartTime"
        " RequestAttributesSequence"
    ),
    Level.IMAGE: _tags(
        "InstanceAvailability TimezoneOffsetFromUTC Rows Columns BitsAllocated NumberOfFrames"
    ),
}

#: Made here, never asked for.
MADE_HERE = frozenset({SPECIFIC_CHARACTER_SET, RETRIEVE_URL, RETRIEVE_AE_TITLE})

_STUDY_LEVEL = frozenset(
    _tags(
        # patient, clinical trial subject
        "PatientName PatientID IssuerOfPatientID IssuerOfPatientIDQualifiersSequence"
        " TypeOfPatientID PatientBirthDate PatientBirthTime PatientSex OtherPatientIDs"
        " OtherPatientIDsSequence OtherPatientNames EthnicGroup EthnicGroupCodeSequence"
        " PatientComments"
        " PatientSpeciesDescription PatientSpeciesCodeSequence PatientBreedDescription"
        " PatientBreedCodeSequence BreedRegistrationSequence ResponsiblePerson"
        " ResponsiblePersonRole ResponsibleOrganization PatientIdentityRemoved"
        " DeidentificationMethod DeidentificationMethodCodeSequence QualityControlSubject"
        " ReferencedPatientSequence PatientMotherBirthName PatientReligiousPreference"
        " RegionOfResidence PatientTelephoneNumbers MilitaryRank PatientAddress"
        " NumberOfPatientRelatedStudies NumberOfPatientRelatedSeries"
        " NumberOfPatientRelatedInstances ClinicalTrialSponsorName ClinicalTrialProtocolID"
        " ClinicalTrialProtocolName ClinicalTrialSiteID ClinicalTrialSiteName"
        " ClinicalTrialSubjectID ClinicalTrialSubjectReadingID"
        # study, patient study, clinical trial study
        " StudyInstanceUID StudyDate StudyTime StudyID AccessionNumber"
        " IssuerOfAccessionNumberSequence ReferringPhysicianName"
        " ReferringPhysicianIdentificationSequence ConsultingPhysicianName StudyDescription"
        " ProcedureCodeSequence PhysiciansOfRecord PhysiciansOfRecordIdentificationSequence"
        " NameOfPhysiciansReadingStudy PhysiciansReadingStudyIdentificationSequence"
        " RequestingService ReasonForPerformedProcedureCodeSequence ReferencedStudySequence"
        " AdmittingDiagnosesDescription AdmittingDiagnosesCodeSequence PatientAge PatientSize"
        " PatientWeight PatientBodyMassIndex Occupation AdditionalPatientHistory AdmissionID"
        " IssuerOfAdmissionIDSequence ServiceEpisodeID ServiceEpisodeDescription ReasonForVisit"
        " PatientSexNeutered MedicalAlerts Allergies SmokingStatus PregnancyStatus"
        " PatientState LastMenstrualDate SpecialNeeds CurrentPatientLocation"
        " PatientInstitutionResidence AdmittingDate AdmittingTime StudyComments"
        " ClinicalTrialTimePointID ClinicalTrialTimePointDescription"
        " ModalitiesInStudy SOPClassesInStudy AnatomicRegionsInStudyCodeSequence"
        " NumberOfStudyRelatedSeries NumberOfStudyRelatedInstances StudyStatusID StudyPriorityID"
        " StudyVerifiedDate StudyVerifiedTime StudyReadDate StudyReadTime"
    )
)

_SERIES_LEVEL = frozenset(
    _tags(
        "Modality SeriesInstanceUID SeriesNumber SeriesDate SeriesTime SeriesDescription"
        " SeriesDescriptionCodeSequence Laterality PerformingPhysicianName"
        " PerformingPhysicianIdentificationSequence OperatorsName OperatorIdentificationSequence"
        " ProtocolName BodyPartExamined PatientPosition SmallestPixelValueInSeries"
        " LargestPixelValueInSeries ReferencedPerformedProcedureStepSequence RelatedSeriesSequence"
        " RequestAttributesSequence PerformedProcedureStepID PerformedProcedureStepStartDate"
        " PerformedProcedureStepStartTime PerformedProcedureStepEndDate"
        " PerformedProcedureStepEndTime PerformedProcedureStepDescription"
        " PerformedProtocolCodeSequence CommentsOnThePerformedProcedureStep"
        " TreatmentSessionUID ClinicalTrialCoordinatingCenterName ClinicalTrialSeriesID"
        " ClinicalTrialSeriesDescription NumberOfSeriesRelatedInstances"
        # frame of reference, equipment
        " FrameOfReferenceUID PositionReferenceIndicator Manufacturer InstitutionName"
        " InstitutionAddress StationName InstitutionalDepartmentName ManufacturerModelName"
        " DeviceSerialNumber DeviceUID SoftwareVersions GantryID SpatialResolution"
        " DateOfLastCalibration TimeOfLastCalibration PixelPaddingValue"
        " PresentationIntentType AnatomicRegionSequence"
    )
)

_ANY_LEVEL = frozenset(
    {
        SPECIFIC_CHARACTER_SET,
        RETRIEVE_AE_TITLE,
        INSTANCE_AVAILABILITY,
        TIMEZONE_OFFSET_FROM_UTC,
        RETRIEVE_URL,
    }
    | set(_tags("StorageMediaFileSetID StorageMediaFileSetUID"))
)


@lru_cache(maxsize=8192)
def level_of(tag: str) -> Level | None:
    """The level an attribute belongs to; None where every level may hold it (private ones too)."""
    if tag in _ANY_LEVEL or is_private(tag):
        return None
    if tag in _STUDY_LEVEL:
        return Level.STUDY
    return Level.SERIES if tag in _SERIES_LEVEL else Level.IMAGE


def holds(level: Level, tag: str) -> bool:
    """Whether C-FIND at exactly this level can hold the attribute as a key."""
    return level_of(tag) in (level, None)


@lru_cache(maxsize=8192)
def reaches(level: Level, tag: str) -> bool:
    """Whether an answer at this level may carry it: its own and those of the levels above."""
    own = level_of(tag)
    return own is None or LEVELS.index(own) <= LEVELS.index(level)


def optional_keys(level: Level) -> frozenset[str]:
    """What `includefield=all` asks a source for, beyond the required ones."""
    if level is Level.STUDY:
        return _STUDY_LEVEL
    if level is Level.SERIES:
        return _SERIES_LEVEL
    return frozenset(REQUIRED[level] + IF_KNOWN[level] + _IMAGE_OPTIONAL)


_IMAGE_OPTIONAL = _tags(
    "ImageType InstanceCreationDate InstanceCreationTime AcquisitionDate AcquisitionTime"
    " AcquisitionDateTime ContentDate ContentTime AcquisitionNumber ImageComments"
    " ContentLabel ContentDescription ConceptNameCodeSequence CompletionFlag VerificationFlag"
    " SliceLocation ImagePositionPatient ImageOrientationPatient SamplesPerPixel"
    " PhotometricInterpretation"
)


def parent_of(level: Level) -> Level | None:
    """The next level up; None above STUDY."""
    index = LEVELS.index(level)
    return LEVELS[index - 1] if index else None
